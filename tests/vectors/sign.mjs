// node sign.mjs KEY FILE...   one signature per line, in the order of the files
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const [key, ...files] = process.argv.slice(2);
for (const file of files) {
  console.log(createHmac("sha256", Buffer.from(key, "utf8")).update(readFileSync(file)).digest("base64"));
}
