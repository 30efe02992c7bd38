// What an application does through nodemailer: node nodemailer.mjs CASE < its server and accounts as JSON.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ImapFlow } from "imapflow";
import nodemailer from "nodemailer";

const given = JSON.parse(readFileSync(0, "utf8"));
const [user, pass] = given.account;
const tls = { ca: given.ca, servername: `mail.${given.domain}` };
const cases = {};

async function send(message, options = {}) {
    const transport = nodemailer.createTransport({
        host: given.host,
        port: given.ports.submission,
        requireTLS: true,
        auth: { user, pass },
        tls,
        ...options,
    });
    try {
        return await transport.sendMail({ from: user, to: given.to[0], ...message });
    } finally {
        transport.close();
    }
}

// The attachments and the source of the only message of the recipient.
async function received() {
    const client = new ImapFlow({
        host: given.host, port: given.ports.imaps, secure: true, tls, logger: false,
        auth: { user: given.to[0], pass: given.to[1] },
    });
    await client.connect();
    try {
        await client.mailboxOpen("INBOX");
        assert.equal(client.mailbox.exists, 1);
        const m = await client.fetchOne("1", { source: true, bodyStructure: true, envelope: true });
        const parts = [];
        for (const node of m.bodyStructure.childNodes ?? []) {
            const { meta, content } = await client.download("1", node.part);
            const chunks = [];
            for await (const chunk of content) chunks.push(chunk);
            parts.push({ ...meta, content: Buffer.concat(chunks) });
        }
        return { source: m.source.toString(), envelope: m.envelope, parts };
    } finally {
        await client.logout();
    }
}

cases.attachment_with_starttls = async () => {
    const content = Buffer.alloc(300000, Uint8Array.from({ length: 256 }, (_, i) => i));
    const text = "Hola,\n.\n..\nla línea que llegará ".repeat(3);
    const info = await send({ subject: "adjunto — ñandú", text, attachments: [{ filename: "año 2026.bin", content }] });
    assert.deepEqual(info.accepted, [given.to[0]]);
    assert.match(info.response, /^250 2\./);
    const got = await received();
    assert.equal(got.envelope.subject, "adjunto — ñandú");
    assert.equal(got.parts.length, 2);
    assert.equal(got.parts[0].content.toString().replaceAll("\r\n", "\n").trimEnd(), text.trimEnd());
    assert.equal(got.parts[1].filename, "año 2026.bin");
    assert.ok(got.parts[1].content.equals(content));
    assert.match(got.source, /\bwith ESMTPSA\b/); // RFC 3848
};

cases.every_mechanism = async () => {
    for (const authMethod of ["PLAIN", "LOGIN"])
        for (const options of [{}, { port: given.ports.submissions, secure: true }]) await send({ text: authMethod }, { authMethod, ...options });
};

cases.pool = async () => {
    const transport = nodemailer.createTransport({
        pool: true, maxConnections: 2, host: given.host, port: given.ports.submissions, secure: true, auth: { user, pass }, tls,
    });
    const sent = await Promise.all(Array.from({ length: 20 }, (_, i) => transport.sendMail({ from: user, to: given.to[0], text: `number ${i}` })));
    transport.close();
    assert.ok(sent.every((info) => info.response.startsWith("250 ")));
};

cases.wrong_password = async () => {
    await assert.rejects(send({ text: "x" }, { auth: { user, pass: "wrong" } }), { code: "EAUTH", responseCode: 535 });
};

cases.some_recipients_are_refused = async () => {
    const info = await send({ to: [given.to[0], `nobody-here@${given.domain}`], text: "x" });
    assert.deepEqual(info.accepted, [given.to[0]]);
    assert.deepEqual(info.rejected, [`nobody-here@${given.domain}`]);
    assert.equal(info.rejectedErrors[0].responseCode, 550);
    await received();
};

cases.smtputf8 = async () => {
    // An address of others: taken with SMTPUTF8 as a sender, refused as a recipient for what it is, not for its letters.
    await assert.rejects(send({ to: `ñandú@${given.domain}`, text: "x" }), (e) => e.code === "EENVELOPE" && /\b5\.1\.1\b/.test(e.response));
    const info = await send({ envelope: { from: user, to: given.to[0] }, from: "Ñandú <ñandú@example.org>", text: "ñ" });
    assert.deepEqual(info.accepted, [given.to[0]]);
};

cases.smtputf8_sender = async () => {
    const info = await send(
        { envelope: { from: "ñandú@example.org", to: given.to[0] }, text: "ñ" },
        { port: given.ports.smtp, auth: undefined }
    );
    assert.deepEqual(info.accepted, [given.to[0]]);
    const got = await received();
    assert.match(got.source, /^Return-Path: <ñandú@example\.org>\r\n/);
    assert.match(got.source, /\bwith UTF8SMTPS\b/); // RFC 6531 4.3
};

await cases[process.argv[2]]();
