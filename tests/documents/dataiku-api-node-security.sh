#!/bin/sh
# What Dataiku's document on the security of API nodes prints and tells, from a shell. BIN has apinode-admin,
# CONFIG is Doorward's file.
. "$(dirname "$0")/curl.sh"
export DOORWARD_CONFIG="$CONFIG"

# Security for API Node administration API
cd "$(dirname "$BIN")"
./bin/apinode-admin admin-key-create > "$ANSWERS/created"
ADMIN_KEY=$(head -n 1 "$ANSWERS/created")
expect without-a-key 401 "http://$ADMIN/services"
admin with-a-key 200 "http://$ADMIN/services"
./bin/apinode-admin admin-keys-list > "$ANSWERS/listed"
if grep -qF "$ADMIN_KEY" "$ANSWERS/listed"; then echo "the list shows a key's text" >&2; exit 1; fi

# Infrastructures are created by administrators; groups are granted privileges on them and on services.
for name in development production; do
    json 201 POST /infrastructures "{\"name\": \"$name\"}"
done
for name in data-scientists devops; do
    json 201 POST /groups "{\"name\": \"$name\"}"
done
json 201 POST /services '{"name": "scoring", "paths": ["/scoring"], "authentication": {"any": [{"api_key": {"bearer": true}}]}}'
json 200 PUT /infrastructures/development/grants/data-scientists '{"privileges": ["deploy"]}'
json 200 PUT /infrastructures/production/grants/devops '{"privileges": ["deploy"]}'
json 200 PUT /services/scoring/grants/data-scientists '{"privileges": ["read", "write", "deploy"]}'
json 200 PUT /services/scoring/grants/devops '{"privileges": ["admin"]}'

# Without API Deployer: the authorization is set at design time, and activated with the deployment.
json 201 POST /services/scoring/versions '{"name": "v1", "policy": {"authentication": {"any": [{"api_key": {"bearer": true}}]}}}'
json 201 POST /deployments '{"service": "scoring", "infrastructure": "production", "version": "v1"}'

# With API Deployer: it can be overridden for one deployment.
json 201 POST /deployments '{"service": "scoring", "infrastructure": "development", "paths": ["/dev"], "override": {"authentication": "none"}}'
expect development 200 "http://$PROXY/dev"
expect production 401 "http://$PROXY/scoring"

# The sample code shows the first API key, and all keys work alike.
json 201 POST /consumers '{"username": "client"}'
json 201 POST /consumers/client/key-auth '{"services": ["scoring"]}'
KEY=$(field made-consumers-client-key-auth key)
admin sample 200 "http://$ADMIN/deployments/scoring%2Fproduction/sample"
holds sample "curl"
expect called 200 -X POST --header "Authorization: Bearer $KEY" \
  "http://$PROXY/scoring" \
  --data '{
  "key": "value"
}'

# Deployments are enabled and disabled.
json 200 PATCH /deployments/scoring%2Fproduction '{"enabled": false}'
expect disabled 503 --header "Authorization: Bearer $KEY" "http://$PROXY/scoring"
json 200 PATCH /deployments/scoring%2Fproduction '{"enabled": true}'
expect enabled 200 --header "Authorization: Bearer $KEY" "http://$PROXY/scoring"

./bin/apinode-admin admin-key-delete "$ADMIN_KEY"
expect deleted 401 -H "Authorization: Bearer $ADMIN_KEY" "http://$ADMIN/services"
