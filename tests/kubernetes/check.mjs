// Holds Kubernetes objects against the published schemas of their kinds.
//
//   check FILE…   each may hold several documents
//
// A schema says which fields have which form, and passes over fields that it does not know. The types that
// were made of the same schemas do not: so each object is also compiled as a literal of its type.
import { readFileSync } from "node:fs";
import ts from "typescript";
import { parseAllDocuments } from "yaml";

const PACKAGES = ["kubernetes-models", ...["contour", "envoy-gateway", "gateway-api", "istio", "prometheus-operator"].map((name) => `@kubernetes-models/${name}`)];

// Fields that came after the schemas were published.
const NEWER = { SecurityPolicy: ["includeRouteMetadata", "statusOnError"] };

const faults = [];
const sources = [];

function literal(object) {
  const newer = NEWER[object.kind] ?? [];
  return JSON.stringify(object, (name, value) => (newer.includes(name) ? undefined : value), 1);
}

async function model(apiVersion, kind) {
  for (const name of PACKAGES) {
    const path = `${name}/${apiVersion}/${kind}`;
    try {
      return { path, Model: (await import(path))[kind] };
    } catch (error) {
      if (!["ERR_MODULE_NOT_FOUND", "ERR_PACKAGE_PATH_NOT_EXPORTED"].includes(error.code)) throw error;
    }
  }
  return undefined;
}

let objects = 0;
for (const file of process.argv.slice(2)) {
  // YAML 1.1, as kubectl reads it.
  for (const document of parseAllDocuments(readFileSync(file, "utf8"), { version: "1.1" })) {
    const object = document.toJS();
    if (document.errors.length) faults.push(`${file}: ${document.errors.join("; ")}`);
    if (!object) continue;
    const { apiVersion, kind, metadata } = object;
    const place = `${file}: ${kind} ${metadata?.name}`;
    const known = await model(apiVersion, kind);
    if (!known) {
      faults.push(`${place}: no schema is known for ${apiVersion}`);
      continue;
    }
    objects += 1;
    try {
      new known.Model(object).validate();
    } catch (error) {
      faults.push(`${place}: ${error.message}`);
    }
    const text = `import type { I${kind} } from "${known.path}";\nexport const object: I${kind} = ${literal(object)};\n`;
    sources.push({ place, text });
  }
}

const files = sources.map(({ text }, number) => {
  const path = new URL(`object-${process.pid}-${number}.mts`, import.meta.url).pathname;
  return { path, text };
});
const host = ts.createCompilerHost({});
const texts = new Map(files.map(({ path, text }) => [path, text]));
const { getSourceFile, fileExists, readFile } = host;
host.fileExists = (path) => texts.has(path) || fileExists(path);
host.readFile = (path) => texts.get(path) ?? readFile(path);
host.getSourceFile = (path, ...rest) =>
  texts.has(path) ? ts.createSourceFile(path, texts.get(path), ts.ScriptTarget.ES2022) : getSourceFile(path, ...rest);
const options = { noEmit: true, strict: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [] };
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram(files.map(({ path }) => path), options, host))) {
  const number = files.findIndex(({ path }) => path === diagnostic.file?.fileName);
  const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
  faults.push(`${sources[number]?.place ?? diagnostic.file?.fileName}: ${message}`);
}

if (faults.length || !objects) {
  console.error(faults.length ? faults.join("\n") : "no object was found");
  process.exit(1);
}
console.log(`${objects} objects`);
