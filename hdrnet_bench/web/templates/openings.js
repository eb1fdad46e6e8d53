// The ways a picture comes in: chosen, dropped, pasted, a sample.

function connectOpening() {
  const input = byId("file");
  for (const button of document.querySelectorAll(".choose")) {
    button.addEventListener("click", () => input.click());
  }
  input.addEventListener("change", () => {
    openFiles([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  });
  for (const button of document.querySelectorAll(".sample")) {
    button.addEventListener("click", () => openSample(button));
  }
  document.addEventListener("paste", (event) => openFiles([...event.clipboardData.files]));
  connectDrop();
}

function connectDrop() {
  const { classList } = document.body;
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) classList.remove("dropping"); // it left the window
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    classList.remove("dropping");
    openFiles([...event.dataTransfer.files]);
  });
}

/** @param {File[]} files those dropped, pasted or chosen at once; the first is opened */
function openFiles(files) {
  const file = files.find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (!file) {
    say("That holds no picture file. JPEG, PNG, WebP and AVIF open here.", "error");
    return;
  }
  const which = file === files[0] ? "first" : "first picture";
  const remark = `Of ${files.length} files the ${which} was taken: ${file.name}.`;
  openPicture(
    file.name,
    (onProgress) => readPicture(file, file.name, onProgress),
    files.length > 1 ? remark : "",
  );
}

function openSample(button) {
  const { name } = button.dataset;
  const file = uriToBlob(button.querySelector("img").src);
  openPicture(name, async (onProgress) => {
    const source = await readPicture(file, name, onProgress);
    return { ...source, sample: button };
  });
}

/** The frame that the camera shows now becomes the picture. */
function takeFrame() {
  openPicture("photo", () => readFrame(byId("video"), "photo"));
  byId("camera").focus(); // the shutter goes
}

/** Of the samples mark the one that is shown, if any is. */
function markSample(button) {
  for (const one of document.querySelectorAll(".sample")) {
    one.setAttribute("aria-pressed", one === button);
  }
}
