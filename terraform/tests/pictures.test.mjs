// Tests of the function at the edge, run by check.sh with Node: each spelling of a path passes,
// is led to the one spelling, or is refused; and preflights are answered for every origin.
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
