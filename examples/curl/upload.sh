curl -sS "$IMAGES_URL/images" -H "Authorization: Bearer $IMAGES_TOKEN" \
    -H "Idempotency-Key: $(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" \
    -F file=@photo.jpg -F title='Castle gate' -F tags=castle -F tags=medieval
