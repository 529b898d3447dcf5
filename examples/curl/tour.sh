#!/usr/bin/env bash
# From an upload to its deletion: IMAGES_URL=… IMAGES_TOKEN=… ./tour.sh photo.jpg
# Needs bash, curl 7.84 and jq.

# region: connect
set -euo pipefail
body=$(mktemp) # of the last response
trap 'rm -f "$body"' EXIT

# Prints a token that is still good. With `renew`: another one, for the last has expired.
# Whoever works for longer than a token lives (an hour, as a rule) asks Cognito for it here.
token() { echo "$IMAGES_TOKEN"; }
# endregion

# region: send
# send METHOD PATH [CURL OPTIONS]: repeats the request while it may still help. Leaves what the
# last response was in $status, $etag and $code (of an error), its body in the file $body.
send() {
    local method=$1 path=$2 response attempt asked renew=''
    shift 2
    for attempt in 1 2 3 4 5 6; do
        : >"$body"
        # 000: no connection, a timeout, or the response got lost.
        response=$(curl -sS -X "$method" "$IMAGES_URL$path" --connect-timeout 10 --max-time 40 \
            -o "$body" -H "Authorization: Bearer $(token $renew)" "$@" \
            -w '%{http_code}|%header{retry-after}|%header{etag}') || response='000||'
        IFS='|' read -r status asked etag <<<"$response"
        code=$(jq -r '.code // empty' "$body" 2>/dev/null) || code=''
        case $status:$code:$renew in
        401:TOKEN_EXPIRED:) renew=renew && continue ;;
        # 502 and 504 come from a load balancer. 409 has another meaning, too, that stays.
        000:* | 408:* | 429:* | 502:* | 503:* | 504:* | 409:IDEMPOTENCY_IN_PROGRESS:*) ;;
        *) return ;;
        esac
        # It may be a date, where a load balancer answered.
        [[ $asked =~ ^[0-9]+$ ]] || asked=0
        # At least what the service asks for; the random part keeps clients from coming back
        # all at once, and grows from try to try.
        sleep "$((asked + RANDOM % attempt)).$((RANDOM % 1000))"
    done
}

accepted() {
    [[ $status == 2* ]] || { cat "$body" >&2; exit 1; }
}
# endregion

# region: upload
# upload PHOTO [CURL OPTIONS]: stores the photo once, however often it has to be sent.
upload() {
    local photo=$1 key
    shift
    # One key a picture, made before the first try.
    key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    # A slow line may take 300 s for it, and the response is there 30 s later.
    send POST /images --max-time 340 -H "Idempotency-Key: $key" -F "file=@$photo" "$@"
    accepted
}
# endregion

# region: show
# tile: the image in $body as a square tile of a gallery; the browser takes the file that fits its
# screen. The thumbnail is a square crop, the main picture is the whole: object-fit crops it alike.
tile() {
    jq -r '"<img src=\"\(.thumbnailUrl)\" " +
        "srcset=\"\(.thumbnailUrl) \(.thumbnailWidth)w, \(.imageUrl) \(.width)w\" sizes=\"200px\" " +
        "width=\"200\" height=\"200\" alt=\"\(.altText // "" | @html)\" loading=\"lazy\" " +
        "style=\"object-fit: cover; background: \(.dominantColor)\">"' "$body"
}
# endregion

# region: pages
# all_images [QUERY]: newest first, an image a line. The query stays the same throughout.
all_images() {
    local cursor=''
    while [ "$cursor" != null ]; do
        send GET "/images?${1:-limit=100}&cursor=$cursor"
        accepted
        jq -c '.images[]' "$body"
        cursor=$(jq -r '.pagination.nextCursor' "$body")
    done
}
# endregion

# region: edit
# edit ID FILTER: the jq filter makes the fields to set from the image as it is now.
edit() {
    for _ in 1 2 3 4 5 6; do
        send GET "/images/$1"
        accepted
        changes=$(jq -c "$2" "$body")
        send PATCH "/images/$1" -H "If-Match: $etag" \
            -H 'Content-Type: application/json' -d "$changes"
        [ "$code" = VERSION_MISMATCH ] || break
    done
    accepted
}
# endregion

# region: delete
delete() {
    send DELETE "/images/$1"
    # It may have been deleted by an earlier try whose response was lost.
    [ "$code" = IMAGE_NOT_FOUND ] || accepted
}
# endregion

# region: usage
usage() {
    send GET /usage
    accepted
}
# endregion

# region: tour
upload "$1" -F title='Castle gate' -F albumId=castle -F altText='A "gate" & towers'
id=$(jq -r .id "$body")
echo "stored $id"

# From the CDN: no token.
curl -sSf "$(jq -r .imageUrl "$body")" -o /dev/null -w 'picture %{content_type} %{size_download}\n'
echo "tile $(tile)"

all_images 'albumId=castle&limit=2' | jq -r '"listed \(.id)"'

edit "$id" '{tags: (.tags + ["night"])}'
jq -r '"version \(.version) \(.tags | join(" "))"' "$body"

usage
echo "images $(jq .imageCount "$body")"
delete "$id"
usage
echo "images $(jq .imageCount "$body")"
# endregion
