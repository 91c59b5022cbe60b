"""The store: a database that is new, locked, full, or none."""

import json

from lab.run import node


def test_when_a_transaction_fails_its_cause_is_what_is_thrown(tmp_path):
    """SQLite rolls some failures back by itself, as when the disk is full. The ROLLBACK
    that follows then fails as well."""
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const store = createStore(path);
    const other = new DatabaseSync(path);
    const insert = (id) => store.of('ann').insert(
      {{ id, items: [], status: 'open', total: 0, version: 1 }},
      {{ key: id, request: 'r' }}).catch((error) => error);
    for (const how of ['ROLLBACK', 'ABORT']) {{
      other.exec(`CREATE TRIGGER no BEFORE INSERT ON answers
        BEGIN SELECT RAISE(${{how}}, 'the disk is full'); END`);
      console.log((await insert('a')).message, await store.of('ann').get('a'));
      other.exec('DROP TRIGGER no');
    }}
    console.log((await insert('b')).id); // and the connection still works
    """
    ).stdout
    assert seen.splitlines() == ["the disk is full null"] * 2 + ["b"]


def test_several_processes_may_open_a_new_database_at_the_same_time(tmp_path):
    opened = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ Worker }} from 'node:worker_threads';
    // each has a connection of its own, as processes have; all wait for one moment
    const gate = new Int32Array(new SharedArrayBuffer(8));
    const source = `
      import {{ workerData }} from 'node:worker_threads';
      import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
      for (let round = 0; round < 10; round += 1) {{
        Atomics.add(workerData.gate, 0, 1);
        while (Atomics.load(workerData.gate, 0) < 4 * (round + 1));
        createStore(workerData.path + round).close();
      }}`;
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const workers = Array.from({{ length: 4 }}, () =>
      new Worker(new URL(`data:text/javascript,${{encodeURIComponent(source)}}`),
        {{ workerData: {{ gate, path }} }}));
    const codes = workers.map((worker) => once(worker, 'exit'));
    console.log((await Promise.all(codes)).join());
    """
    ).stdout
    assert opened.strip() == "0,0,0,0"


def test_who_finds_a_new_database_locked_for_longer_than_sqlite_waits_tries_again(
    tmp_path,
):
    opened = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ Worker }} from 'node:worker_threads';
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const gate = new Int32Array(new SharedArrayBuffer(8));
    // another connection holds the file for four seconds; SQLite waits for two
    const source = `
      import {{ parentPort, workerData }} from 'node:worker_threads';
      import {{ DatabaseSync }} from 'node:sqlite';
      const {{ path, gate }} = workerData;
      const db = new DatabaseSync(path);
      db.exec('BEGIN EXCLUSIVE');
      parentPort.postMessage('locked');
      Atomics.wait(gate, 0, 0); // until the store is about to open it
      Atomics.wait(gate, 1, 0, 4000);
      Atomics.store(gate, 1, 1);
      db.exec('COMMIT');
      db.close();`;
    const other = new Worker(new URL(`data:text/javascript,${{encodeURIComponent(source)}}`),
      {{ workerData: {{ path, gate }} }});
    await once(other, 'message');
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const store = createStore(path);
    console.log(Atomics.load(gate, 1), await store.ping());
    store.close();
    """
    ).stdout
    assert opened.strip() == "1 true"


def test_what_is_no_database_is_refused_at_once(tmp_path):
    (tmp_path / "o.db").write_text("no database " * 100)
    done = node.evaluate(
        f"""
        import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
        createStore({json.dumps(str(tmp_path / "o.db"))});
        """,
        code=1,
    )
    assert "file is not a database" in done.stderr
