curl -sS "$IMAGES_URL/images" -H "Authorization: Bearer $IMAGES_TOKEN" \
    -F file=@photo.jpg -F title='Castle gate'
