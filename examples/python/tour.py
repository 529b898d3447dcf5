"""From an upload to its deletion: IMAGES_URL=… IMAGES_TOKEN=… python tour.py photo.jpg"""

import os
import sys
from pathlib import Path

import httpx
from image_client import all_images, connect, delete, edit, upload, usage
from picture import tile

# The same token always; whoever works for longer than an hour asks Cognito here.
with connect(os.environ["IMAGES_URL"], lambda _renew: os.environ["IMAGES_TOKEN"]) as client:
    texts = {"title": "Castle gate", "altText": 'A "gate" & towers'}
    image = upload(client, Path(sys.argv[1]), albumId="castle", **texts)
    print("stored", image["id"])

    picture = httpx.get(image["imageUrl"])  # from the CDN: no token
    print("picture", picture.headers["Content-Type"], len(picture.content))
    print("tile", tile(image))

    for found in all_images(client, albumId="castle", limit=2):
        print("listed", found["id"])

    edited = edit(client, image["id"], lambda now: {"tags": [*now["tags"], "night"]})
    print("version", edited["version"], *edited["tags"])

    print("images", usage(client)["imageCount"])
    delete(client, image["id"])
    print("images", usage(client)["imageCount"])
