// --8<-- [start:slug]
export const SLUG = /^([a-z0-9]+-?)+$/;
// --8<-- [end:slug]
