// Files that were dropped or pasted; of a folder all that lie in it, each with its path as a picked folder has it.

export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // now: afterwards it is empty
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const root = entries.length > 1 ? "dropped" : ""; // beside others a folder is a class
  return (await Promise.all(entries.map((entry) => within(entry, root)))).flat();
}

async function within(entry, root) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    Object.defineProperty(file, "webkitRelativePath", { value: root + (root ? entry.fullPath : entry.fullPath.slice(1)) });
    return [file];
  }
  const reader = entry.createReader();
  const found = [];
  for (let some = null; some === null || some.length; found.push(...some))
    some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
  return (await Promise.all(found.map((one) => within(one, root)))).flat();
}
