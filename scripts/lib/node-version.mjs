// Imported first by every script, and written for old versions: it must be able to say that they are too old.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `Node.js 20.19 or newer is needed, this is ${process.versions.node}: install it from https://nodejs.org.`,
  );
  process.exit(1);
}
