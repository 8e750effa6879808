// Handing a text that the page has made to the browser as a file.

/** Lets the browser save a CSV file. @param {string} name @param {string[]} parts */
export function file_save(name, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/csv' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
