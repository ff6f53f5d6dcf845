// An OpenID provider that tests can have rotate its keys and go away. Prints its address, then obeys one
// word a line on stdin and answers each with it; ends with stdin.
//
//   rotate   signs with a new key, and publishes the ones before too
//   retire   publishes the signing key alone
//   away     hangs up on whoever asks for its keys: tests still get tokens
//   back     answers everybody again
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

// Newest first: that one signs.
let keys = [newKey()];
let away = false;
let answer;

function newKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };
}

// A provider keeps the keys it was made with, so there is a new one for each set.
function provide(issuer) {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: "robot",
      client_secret: "of-the-robot",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:orders",
        getResourceServerInfo: () => ({ scope: "read write", audience: "orders", accessTokenFormat: "jwt" }),
      },
    },
    jwks: { keys },
    scopes: ["read", "write"],
    ttl: { ClientCredentials: 600 },
  });
  answer = provider.callback();
}

const server = createServer((request, response) => {
  if (away && request.method === "GET") request.socket.destroy();
  else answer(request, response);
});
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  provide(issuer);
  console.log(issuer);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (word) => {
    if (word === "rotate") keys = [newKey(), ...keys];
    if (word === "retire") keys = keys.slice(0, 1);
    if (word === "away") away = true;
    if (word === "back") away = false;
    provide(issuer);
    console.log(word);
  });
  lines.on("close", () => process.exit(0));
});
