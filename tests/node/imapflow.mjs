// What an application does through imapflow: node imapflow.mjs CASE < its server and account as JSON.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { ImapFlow } from "imapflow";

const given = JSON.parse(readFileSync(0, "utf8"));
const cases = {};

// A session that is logged in; logged out however the work ends.
async function session(work, options = {}) {
    const [user, pass] = given.account;
    const client = new ImapFlow({
        host: given.host,
        port: given.ports.imaps,
        secure: true,
        auth: { user, pass },
        tls: { ca: given.ca, servername: `mail.${given.domain}` },
        logger: false,
        ...options,
    });
    client.on("error", (e) => assert.fail(e));
    try {
        await client.connect();
    } catch (e) {
        client.close(); // it does not by itself
        throw e;
    }
    try {
        return await work(client);
    } finally {
        await client.logout();
    }
}

// The mailbox, open while work runs.
async function opened(client, name, work) {
    const lock = await client.getMailboxLock(name);
    try {
        return await work();
    } finally {
        lock.release();
    }
}

async function all(list) {
    const got = [];
    for await (const x of list) got.push(x);
    return got;
}

const flags = (m) => [...m.flags].filter((flag) => flag !== "\\Recent").sort();

const starttls = { port: given.ports.imap, secure: false, doSTARTTLS: true };

cases.tls_and_starttls = async () => {
    for (const options of [{}, starttls])
        await session(async (client) => {
            assert.ok(client.secureConnection && client.usable);
            assert.ok(client.capabilities.has("IDLE") && client.capabilities.has("IMAP4rev1"));
            await client.noop();
        }, options);
};

cases.wrong_password_and_wrong_name = async () => {
    await assert.rejects(session(() => {}, { auth: { user: given.account[0], pass: "wrong" } }), { authenticationFailed: true });
    await assert.rejects(session(() => {}, { tls: { ca: given.ca, servername: "other.example" } }), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
};

cases.list_create_rename_delete = async () => {
    await session(async (client) => {
        const name = ["Año & más", "2026"].join("/"); // its UTF-7 has "&-" in it
        assert.equal((await client.mailboxCreate(name)).created, true);
        assert.equal((await client.mailboxCreate(name)).created, false); // ALREADYEXISTS
        await client.mailboxSubscribe(name);
        const listed = (await client.list()).find((box) => box.path === name);
        assert.ok(listed.subscribed && listed.delimiter === "/");
        await client.mailboxRename(name, "Otro/nombre");
        await client.mailboxDelete("Otro/nombre");
        const left = (await client.list()).map((box) => box.path);
        assert.ok(!left.includes(name) && !left.includes("Otro/nombre") && left.includes("INBOX"));
        await assert.rejects(client.mailboxDelete("Otro/nombre"), { serverResponseCode: "NONEXISTENT" });
    });
};

cases.append_fetch_download = async () => {
    await session(async (client) => {
        const date = new Date("1994-02-07T21:52:25Z");
        const put = await client.append("INBOX", given.letter, ["\\Seen", "$Forwarded"], date);
        assert.ok(put.uid > 0 && put.uidValidity > 0n);
        await opened(client, "INBOX", async () => {
            const query = { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, source: true, headers: ["x-word"], bodyParts: ["1"] };
            const m = await client.fetchOne(put.uid, query, { uid: true });
            assert.equal(m.source.toString(), given.letter);
            assert.equal(m.size, Buffer.byteLength(given.letter));
            assert.deepEqual(flags(m), ["$Forwarded", "\\Seen"]);
            assert.equal(m.internalDate.getTime(), date.getTime());
            assert.equal(m.envelope.subject, "prueba");
            assert.equal(m.envelope.from[0].address, "ana@example.org");
            assert.equal(m.bodyStructure.type, "text/plain");
            assert.match(m.headers.toString(), /^X-Word: sent\r\n/);
            assert.equal(m.bodyParts.get("1").toString(), given.letter.split("\r\n\r\n")[1]);
            const { content } = await client.download(put.uid, "1", { uid: true });
            assert.match(Buffer.concat(await all(content)).toString(), /^llegará sent/);
            assert.equal(await client.fetchOne(put.uid + 9, { uid: true }, { uid: true }), false);
        });
    });
};

cases.flags_copy_move_expunge = async () => {
    await session(async (client) => {
        for (let i = 0; i < 3; i++) await client.append("INBOX", given.letter);
        await client.mailboxCreate("Archivo");
        await opened(client, "INBOX", async () => {
            const uids = (await all(client.fetch("1:*", { uid: true }))).map((m) => m.uid);
            const before = client.mailbox.highestModseq;
            assert.ok(await client.messageFlagsAdd(uids[0], ["\\Flagged", "importante"], { uid: true }));
            assert.ok(await client.messageFlagsRemove(uids[0], ["importante"], { uid: true }));
            assert.deepEqual(flags(await client.fetchOne(uids[0], { flags: true }, { uid: true })), ["\\Flagged"]);
            const changed = await all(client.fetch("1:*", { uid: true, flags: true }, { changedSince: before })); // RFC 7162 3.1.4.1
            assert.deepEqual(changed.map((m) => m.uid), [uids[0]]);
            const copied = await client.messageCopy(uids.slice(0, 2), "Archivo", { uid: true });
            assert.deepEqual([...copied.uidMap.keys()], uids.slice(0, 2)); // COPYUID
            const moved = await client.messageMove(uids[1], "Archivo", { uid: true });
            assert.ok(moved.uidMap.get(uids[1]) > copied.uidMap.get(uids[1]));
            assert.ok(await client.messageDelete(uids[0], { uid: true })); // UID EXPUNGE
            assert.deepEqual(await client.search({ all: true }, { uid: true }), [uids[2]]);
        });
        assert.deepEqual(await client.status("Archivo", { messages: true, unseen: true }), { path: "Archivo", messages: 3, unseen: 3 });
    });
};

cases.search = async () => {
    await session(async (client) => {
        await client.append("INBOX", given.letter, [], new Date("2020-01-01"));
        await client.append("INBOX", given.letter.replace("prueba", "=?utf-8?q?ma=C3=B1ana?="), ["\\Answered"]);
        await opened(client, "INBOX", async () => {
            const found = async (query) => await client.search(query);
            assert.deepEqual(await found({ subject: "MAÑANA" }), [2]);
            assert.deepEqual(await found({ body: "llegará" }), [1, 2]);
            assert.deepEqual(await found({ answered: false, from: "ana@example.org" }), [1]);
            assert.deepEqual(await found({ before: new Date("2021-01-01") }), [1]);
            assert.deepEqual(await found({ header: { "x-word": "sent" }, or: [{ seq: "2" }, { larger: 1 << 20 }] }), [2]);
            assert.deepEqual(await found({ text: 'no "such" \\ word' }), []);
        });
    });
};

cases.idle_tells_what_others_do = async () => {
    await session(async (idler) => {
        await opened(idler, "INBOX", async () => {
            const told = (name) => once(idler, name, { signal: AbortSignal.timeout(10000) }).then(([event]) => event);
            await session(async (other) => {
                const exists = told("exists");
                const idling = idler.idle();
                await other.append("INBOX", given.letter);
                assert.deepEqual(await exists, { path: "INBOX", count: 1, prevCount: 0 });
                await opened(other, "INBOX", async () => {
                    const changed = told("flags");
                    await other.messageFlagsAdd("1", ["\\Flagged"]);
                    assert.deepEqual(flags(await changed), ["\\Flagged"]);
                    const expunge = told("expunge");
                    await other.messageDelete("1");
                    assert.equal((await expunge).seq, 1);
                });
                await idler.noop(); // ends IDLE
                await idling;
            });
        });
    });
};

cases.qresync_and_compression = async () => {
    await session(
        async (client) => {
            assert.ok(client.enabled.has("QRESYNC") || client.enabled.has("CONDSTORE"));
            for (let i = 0; i < 20; i++) await client.append("INBOX", given.letter + "x".repeat(20000) + "\r\n");
            await opened(client, "INBOX", async () => {
                for await (const m of client.fetch("1:*", { source: true })) assert.equal(m.source.length, Buffer.byteLength(given.letter) + 20002);
                const vanished = once(client, "expunge", { signal: AbortSignal.timeout(10000) });
                await client.messageDelete("3");
                const [event] = await vanished;
                assert.ok(event.vanished ? event.uid === 3 : event.seq === 3, JSON.stringify(event));
            });
        },
        { qresync: true }
    );
};

await cases[process.argv[2]]();
