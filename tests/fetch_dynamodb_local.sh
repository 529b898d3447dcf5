#!/bin/sh
# Puts Amazon's DynamoDB Local into .cache/dynamodb-local/. It is taken from an npm package
# of AWS Amplify that carries the jar, because Amazon's own download has no versions.
set -eu

package=amplify-dynamodb-simulator@2.9.30
integrity=xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ==

cd "$(dirname "$0")/.."
target=.cache/dynamodb-local
if [ "$(cat "$target/.package" 2>/dev/null)" = "$package" ]; then
    exit 0
fi

for tool in npm openssl tar; do
    command -v "$tool" >/dev/null || { echo "fetching DynamoDB Local needs $tool" >&2; exit 1; }
done

mkdir -p .cache
work=$(mktemp -d -p .cache)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "$package" >/dev/null)

# Not npm's own comparison: that trusts whatever the registry says today.
found=$(openssl dgst -sha512 -binary "$work"/*.tgz | openssl base64 -A)
if [ "$found" != "$integrity" ]; then
    echo "$package is not what it was: sha512 $found" >&2
    exit 1
fi

tar -xzf "$work"/*.tgz -C "$work" package/emulator
echo "$package" >"$work/package/emulator/.package"
rm -rf "$target"
mv "$work/package/emulator" "$target"
