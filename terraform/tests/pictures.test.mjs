// Tests of the function at the edge, run by check.sh with Node: each spelling of a path passes,
// is led to the one spelling, or is refused; and preflights are answered for every origin. And of
// the paths that the firewall's rate limit passes over: pictures, and no other spelling of them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { promisify } from 'node:util';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const handler = new Function(`${read('../modules/cdn/pictures.js')}; return handler;`)();
const ask = (uri, method = 'GET', headers = {}) => handler({ request: { method, uri, headers, querystring: {} } });

for (const { path, answer } of JSON.parse(read('picture_paths.json'))) {
    test(`${path}: ${answer}`, () => {
        const result = ask(path);
        if (answer === 'pass') {
            assert.deepEqual(result, { method: 'GET', uri: path, headers: {}, querystring: {} });
        } else if (answer === 'refuse') {
            assert.equal(result.statusCode, 404);
        } else {
            assert.deepEqual([result.statusCode, result.headers.location.value], [301, answer]);
            assert.equal(ask(answer).uri, answer, 'it is led on once');
        }
        if (result.statusCode) assert.equal(result.headers['access-control-allow-origin'].value, '*');
    });
}

test('half a character is refused', () => assert.equal(ask('/images/alice/\ud800.webp').statusCode, 404));

const firewall = read('../modules/firewall/main.tf');
const string = (name) => firewall.match(new RegExp(`${name} += "(.+)"`))[1];
const uncounted = new RegExp(string('picture_path').replaceAll('${local.name_character}', string('name_character')));

for (const user of ['alice', '0a1b2c3d-0000-4000-8000-a1b2c3d4e5f6', 'google|1@x:y', 'a.b', '.a', '..a', '-', '_']) {
    for (const rest of ['01HX.webp', 'thumbnails/01HX.webp', '01HX/w320.webp', '01HX/w320.avif', '0a1b2c3d-0000-4000-8000-a1b2c3d4e5f6.webp']) {
        const path = `/images/${encodeURIComponent(user)}/${rest}`;
        test(`${path} is not counted`, () => {
            assert.match(path, uncounted);
            assert.equal(ask(path).uri, path);
        });
    }
}

const respelled = JSON.parse(read('picture_paths.json')).filter(({ answer }) => answer !== 'pass').map(({ path }) => path);
for (const path of [...respelled, '/images/a.webp', '/images/../usage.webp', '/images/%2E%2E/usage.webp', '/images/./a.webp', '/images/alice/a.webp/usage', '/albums/a.webp', '/images/alice/a.webp\n', '/images/alice/a.webp%3F']) {
    test(`${path} is counted`, () => assert.doesNotMatch(path, uncounted));
}

for (const [asked, allowed] of [
    [undefined, '*'],
    ['x-requested-with', 'x-requested-with'],
    ['authorization, range', 'authorization, range'],
    ['x\r\nset-cookie: a=b', '*'],
]) {
    test(`preflight with ${JSON.stringify(asked)}`, () => {
        const { statusCode, headers } = ask('/images/alice/01HX.webp', 'OPTIONS', asked && { 'access-control-request-headers': { value: asked } });
        assert.equal(statusCode, 204);
        assert.equal(headers['access-control-allow-origin'].value, '*');
        assert.equal(headers['access-control-allow-methods'].value, 'GET, HEAD');
        assert.equal(headers['access-control-allow-headers'].value, allowed);
        assert.ok(Number(headers['access-control-max-age'].value) > 0);
    });
}

// An empty bucket behind the function, over HTTP: what the smoke test asks of each deployment.
test('the smoke test is content with it', async () => {
    const edge = createServer(({ method, url, headers: given }, response) => {
        const headers = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, { value }]));
        const { statusCode, headers: made } = ask(url, method, headers);
        response.writeHead(statusCode ?? 404, Object.fromEntries(Object.entries(statusCode ? made : {}).map(([name, { value }]) => [name, value])));
        response.end();
    });
    await new Promise((listening) => edge.listen(0, '127.0.0.1', listening));
    try {
        const base = `http://127.0.0.1:${edge.address().port}`;
        const { stdout } = await promisify(execFile)('python3', ['-c', `import smoke; smoke.check_cdn("${base}")`], {
            cwd: new URL('../../tests/container', import.meta.url),
        });
        assert.equal(stdout.match(/^ok /gm).length, 4);
    } finally {
        edge.close();
    }
});
