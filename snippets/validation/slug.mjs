// --8<-- [start:slug]
// one way only to read any text: a hyphen must stand between two words
export const SLUG = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
// --8<-- [end:slug]
