#!/bin/sh
# What Kong's document on key-auth prints, with other hosts and ports and an admin key added. A test runs
# it: ADMIN and PROXY are addresses, ADMIN_KEY opens the one, ANSWERS is a folder for what comes back.
set -eu

# expect NAME STATUS CURL-ARGUMENT…
expect() {
    name=$1 status=$2
    shift 2
    found=$(curl -sS -o "$ANSWERS/$name" -w '%{http_code}' "$@")
    if [ "$found" != "$status" ]; then
        echo "$name: $found instead of $status: $(cat "$ANSWERS/$name")" >&2
        exit 1
    fi
}
admin() {
    name=$1 status=$2
    shift 2
    expect "$name" "$status" -H "Authorization: Bearer $ADMIN_KEY" "$@"
}
# field NAME FIELD: the first text of that name in an answer.
field() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$ANSWERS/$1" | head -n 1; }

# Create a Consumer
admin consumer 201 -X POST "http://$ADMIN/consumers/" --data "username=foo" --data "custom_id=c-1"
CONSUMER=$(field consumer id)

# Create a Key
admin key 201 -X POST "http://$ADMIN/consumers/foo/key-auth" --data "tags=a" --data "ttl=3600"
KEY=$(field key key)
ID=$(field key id)
admin own-key 201 -X POST "http://$ADMIN/consumers/$CONSUMER/key-auth" -d "key=migrated-0123456789"

# Make a Request with the Key
expect in-query 200 "http://$PROXY/orders?apikey=$KEY"
expect in-header 200 "http://$PROXY/orders" -H "apikey: $KEY"
expect in-body 200 "http://$PROXY/orders" --data "apikey=$KEY"
expect own 200 "http://$PROXY/orders" -H 'apikey: migrated-0123456789'

# Request behavior matrix
expect none 401 "http://$PROXY/orders"
expect unknown 401 "http://$PROXY/orders" -H 'apikey: unknown-0123456789'

# Paginate through keys
admin keys 200 -X GET "http://$ADMIN/key-auths"
admin keys-of 200 -X GET "http://$ADMIN/consumers/foo/key-auth"

# Retrieve the Consumer associated with a key
admin owner-by-key 200 -X GET "http://$ADMIN/key-auths/$KEY/consumer"
admin owner-by-id 200 -X GET "http://$ADMIN/key-auths/$ID/consumer"

# Delete a Key
admin deleted 204 -X DELETE "http://$ADMIN/consumers/foo/key-auth/$ID"
expect after 401 "http://$PROXY/orders" -H "apikey: $KEY"
