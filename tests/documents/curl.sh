# What the documents' scripts have in common; sourced. A test gives them: ADMIN and PROXY are addresses,
# ADMIN_KEY opens the one, ANSWERS is a folder for what comes back.
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
# json STATUS METHOD PATH BODY
json() { admin "made$(echo "$3" | tr / -)" "$1" -X "$2" "http://$ADMIN$3" -H 'Content-Type: application/json' -d "$4"; }
# field NAME FIELD: the first text of that name in an answer.
field() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$ANSWERS/$1" | head -n 1; }
# holds NAME TEXT: that an answer has it.
holds() {
    if ! grep -qF "$2" "$ANSWERS/$1"; then
        echo "$1 has no $2: $(cat "$ANSWERS/$1")" >&2
        exit 1
    fi
}
# deployed NAME: puts a service where it is called.
deployed() {
    [ -e "$ANSWERS/made-infrastructures" ] || json 201 POST /infrastructures '{"name": "production"}'
    json 201 POST /deployments "{\"service\": \"$1\", \"infrastructure\": \"production\"}"
}
