// Runs at the edge before the cache is asked (CloudFront Functions, runtime 2.0). S3 decodes
// a path before it looks for the object, but the cache keeps each spelling by itself: another
// spelling of a picture's path would be a copy that its invalidation doesn't name. So there is
// one spelling, the service's own (CdnUrls.path); every other is sent there, or refused.
// Preflights are answered here: S3 would want headers that the cache key has no place for.

var OPEN = { 'access-control-allow-origin': { value: '*' } };

function encode(segment) {
    return encodeURIComponent(segment).replace(/[!'()*]/g, function (character) {
        return '%' + character.charCodeAt(0).toString(16).toUpperCase();
    });
}

// Returns the path as the service writes it, or null where no picture can be.
function canonical(path) {
    try {
        var segments = decodeURIComponent(path).split('/');
        var named = segments.slice(1).every(function (segment) {
            return segment !== '' && segment !== '.' && segment !== '..';
        });
        return segments[0] === '' && named ? segments.map(encode).join('/') : null;
    } catch (malformed) { // an escape, or half a character
        return null;
    }
}

function preflight(headers) {
    var asked = headers['access-control-request-headers'];
    return {
        statusCode: 204,
        statusDescription: 'No Content',
        headers: Object.assign({}, OPEN, {
            'access-control-allow-methods': { value: 'GET, HEAD' },
            // `*` would leave out Authorization.
            'access-control-allow-headers': { value: asked && /^[\w, -]{1,1000}$/.test(asked.value) ? asked.value : '*' },
            'access-control-max-age': { value: '86400' },
            'cache-control': { value: 'no-store' },
        }),
    };
}

function handler(event) {
    var request = event.request;
    if (request.method === 'OPTIONS') {
        return preflight(request.headers);
    }
    var path = canonical(request.uri);
    if (path === null) {
        return { statusCode: 404, statusDescription: 'Not Found', headers: OPEN };
    }
    if (path !== request.uri) {
        return {
            statusCode: 301,
            statusDescription: 'Moved Permanently',
            headers: Object.assign({ location: { value: path } }, OPEN),
        };
    }
    return request;
}
