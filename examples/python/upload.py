import os
from pathlib import Path
from uuid import uuid4

import httpx

photo = Path("photo.jpg")
response = httpx.post(
    f"{os.environ['IMAGES_URL']}/images",
    headers={
        "Authorization": f"Bearer {os.environ['IMAGES_TOKEN']}",
        "Idempotency-Key": str(uuid4()),  # the same one with every try of this picture
    },
    files={"file": (photo.name, photo.read_bytes())},
    data={"title": "Castle gate", "tags": ["castle", "medieval"]},
    timeout=340,
)
image = response.raise_for_status().json()
print(image["imageUrl"])
