#!/bin/sh
# What Kong's document on key-auth prints, with other hosts and ports and an admin key added.
. "$(dirname "$0")/curl.sh"

# What the document takes for granted: a service (of the same name here as its route), and the plugin on it.
admin service 201 -X POST "http://$ADMIN/services" -d name=orders -d paths[]=/orders -d authentication=none
deployed orders
expect open 200 "http://$PROXY/orders"
admin plugin 201 -X POST "http://$ADMIN/services/orders/plugins" -d name=key-auth -d config.key_in_body=true

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

# Disable a Key Location
admin reports 201 -X POST "http://$ADMIN/services" -d name=reports -d paths[]=/reports -d authentication=none
deployed reports
admin disabled 201 -X POST "http://$ADMIN/routes/reports/plugins" \
    --data "name=key-auth" \
    --data "config.key_names=apikey" \
    --data "config.key_in_query=false"
expect not-in-query 401 "http://$PROXY/reports?apikey=$KEY"
expect still-in-header 200 "http://$PROXY/reports" -H "apikey: $KEY"

# Paginate through keys
admin keys 200 -X GET "http://$ADMIN/key-auths"
admin keys-of 200 -X GET "http://$ADMIN/consumers/foo/key-auth"

# Retrieve the Consumer associated with a key
admin owner-by-key 200 -X GET "http://$ADMIN/key-auths/$KEY/consumer"
admin owner-by-id 200 -X GET "http://$ADMIN/key-auths/$ID/consumer"

# Delete a Key
admin deleted 204 -X DELETE "http://$ADMIN/consumers/foo/key-auth/$ID"
expect after 401 "http://$PROXY/orders" -H "apikey: $KEY"
