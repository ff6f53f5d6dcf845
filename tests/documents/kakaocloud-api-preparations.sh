#!/bin/sh
# What KakaoCloud's document takes for granted before its first request: projects, roles that imply
# lesser ones, a user who has one in a project, loses part of it, and loses it.
. "$(dirname "$0")/curl.sh"

PROJECT=ca7f6c731a004091a32d4eb97ec17271
USER=f61e7df2a1d349e7b35d62ef9c615853

json 201 POST /roles '{"name": "reader"}'
json 201 POST /roles '{"name": "member", "implies": ["reader"]}'
json 201 POST /roles '{"name": "admin", "implies": ["member"]}'
json 201 POST /projects "{
    \"id\": \"$PROJECT\",
    \"name\": \"kakaocloud-project\",
    \"domain_id\": \"327373ec52974577a79a5e26b26c27e9\",
    \"description\": \"kakaocloud-project\"
}"
json 201 POST /services '{"name": "compute", "paths": ["/compute"], "authentication": {"any": [{"api_key": {}}]},
    "rules": [{"paths": ["/compute/instances"], "roles": ["member"]}, {"paths": ["/compute/quota"], "roles": ["admin"]}]}'
deployed compute
json 201 POST /consumers "{\"id\": \"$USER\", \"username\": \"user\"}"
json 201 POST /consumers/user/key-auth '{}'
KEY=$(field made-consumers-user-key-auth key)
# role METHOD ROLE
role() { admin "role-$1-$2" 204 -X "$1" "http://$ADMIN/projects/$PROJECT/users/user/roles/$2"; }
# may WHAT STATUS
may() { expect "$1-$2" "$2" "http://$PROXY/compute/$1" -H "apikey: $KEY"; }

may instances 403
role PUT admin
may quota 200
may instances 200

# Changes in permissions: an admin of the project becomes a member.
role PUT member
role DELETE admin
may quota 403
may instances 200

# Expired permissions: the user is removed from the project.
role DELETE member
may instances 403
admin user 200 "http://$ADMIN/consumers/user"
