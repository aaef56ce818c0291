"use strict";
// the brain in three dimensions, painted as a drawn map is; needs three.js and brain3d-geometry.js
window.normvolBrain3d = (host, { colours, titles, names, selected, select }) => {
  const { cortex, deep, perMm } = window.normvolBrain;
  const PLAIN = new THREE.Color("#dfe2e5");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const make = (tag, given = {}) => Object.assign(document.createElement(tag), given);

  // every triangle has one region and a colour of its own, so that borders are sharp
  const shape = ({ vertices, faces }, regionOf) => {
    const whole = new THREE.BufferGeometry();
    whole.setAttribute("position", new THREE.BufferAttribute(Float32Array.from(new Int16Array(bytes(vertices)), (value) => value / perMm), 3));
    const index = new Uint16Array(bytes(faces));
    whole.setIndex(new THREE.BufferAttribute(index, 1));
    whole.computeVertexNormals();
    const split = whole.toNonIndexed();
    split.setAttribute("color", new THREE.BufferAttribute(new Float32Array(index.length * 3), 3));
    const regions = Array.from({ length: index.length / 3 }, (_, face) => regionOf(index[3 * face], index[3 * face + 1], index[3 * face + 2]));
    const material = new THREE.MeshLambertMaterial({ vertexColors: true, side: THREE.DoubleSide });
    const mesh = new THREE.Mesh(split, material);
    mesh.userData.regions = regions;
    return mesh;
  };
  const sides = cortex.map((half) => {
    const labels = new Uint8Array(bytes(half.labels));
    const mesh = shape(half, (a, b, c) => half.regions[(labels[a] === labels[b] || labels[a] === labels[c] ? labels[a] : labels[b] === labels[c] ? labels[b] : labels[a]) - 1] ?? null);
    mesh.userData.side = half.side;
    return mesh;
  });
  // structures without a value are in the way, but for those that are seen from outside
  const OUTSIDE = /Cerebellum-Cortex|Brain-Stem/;
  const inner = deep.filter((part) => colours.has(part.region) || OUTSIDE.test(part.region)).map((part) => Object.assign(shape(part, () => part.region), { name: part.region }));
  const brain = new THREE.Group();
  brain.add(...sides, ...inner);

  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(28, 1, 50, 1500);
  camera.up.set(0, 0, 1);
  const lamp = new THREE.DirectionalLight(0xffffff, 1.7);
  camera.add(lamp);
  scene.add(brain, camera, new THREE.AmbientLight(0xffffff, 1.5));
  const renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  const canvas = renderer.domElement;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Brain in three dimensions. Arrow keys turn it, plus and minus come nearer and go away, 0 starts again; the list beside it picks a region.");
  const controls = new THREE.OrbitControls(camera, canvas);
  controls.enablePan = false;
  controls.target.set(0, -18, 6);

  const render = () => renderer.render(scene, camera);
  let showing = "both";
  const see = (mesh, opacity) => {
    Object.assign(mesh.material, { transparent: opacity < 1, opacity, depthWrite: opacity === 1, needsUpdate: true });
    mesh.renderOrder = opacity < 1 ? 1 : 0;
  };
  const paint = () => {
    [...sides, ...inner].forEach((mesh) => {
      const colour = mesh.geometry.attributes.color;
      mesh.userData.regions.forEach((region, face) => {
        const own = new THREE.Color(colours.get(region) ?? PLAIN);
        if (selected && region !== selected) own.lerp(PLAIN, 0.72);
        for (const corner of [0, 1, 2]) colour.setXYZ(3 * face + corner, own.r, own.g, own.b);
      });
      colour.needsUpdate = true;
    });
    const chosen = inner.some((mesh) => mesh.name === selected);
    inner.forEach((mesh) => see(mesh, chosen && mesh.name !== selected ? 0.3 : 1));
    render();
  };
  const show = (choice) => {
    showing = choice;
    sides.forEach((mesh) => {
      mesh.visible = choice === "both" || choice === "glass" || choice === mesh.userData.side;
      see(mesh, choice === "glass" ? 0.16 : 1);
    });
    render();
  };
  const VIEWS = { Left: [-1, 0, 0], Right: [1, 0, 0], Front: [0, 1, 0], Back: [0, -1, 0], Top: [0, -0.001, 1], Below: [0, -0.001, -1] };
  const look = (direction) => {
    camera.position.copy(controls.target).add(new THREE.Vector3(...direction).setLength(390));
    controls.update();
    render();
  };
  const turn = (across, up) => {
    const from = camera.position.clone().sub(controls.target);
    const length = from.length();
    const around = Math.atan2(from.y, from.x) + across;
    const height = Math.min(1.5, Math.max(-1.5, Math.asin(from.z / length) + up));
    from.set(Math.cos(around) * Math.cos(height), Math.sin(around) * Math.cos(height), Math.sin(height)).setLength(length);
    camera.position.copy(controls.target).add(from);
    controls.update();
    render();
  };
  const nearer = (factor) => {
    const from = camera.position.clone().sub(controls.target);
    camera.position.copy(controls.target).add(from.setLength(Math.min(900, Math.max(120, from.length() * factor))));
    controls.update();
    render();
  };
  canvas.addEventListener("keydown", (event) => {
    const action = {
      ArrowLeft: () => turn(-0.15, 0), ArrowRight: () => turn(0.15, 0), ArrowUp: () => turn(0, 0.15), ArrowDown: () => turn(0, -0.15),
      "+": () => nearer(0.85), "=": () => nearer(0.85), "-": () => nearer(1.18), 0: () => look(VIEWS.Left),
    }[event.key];
    if (action) { action(); event.preventDefault(); }
  });

  const ray = new THREE.Raycaster();
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    ray.setFromCamera(new THREE.Vector2(2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height), camera);
    const solid = showing === "glass" || showing === "none" ? inner : [...sides.filter((mesh) => mesh.visible), ...inner];
    const [hit] = ray.intersectObjects(solid, false);
    return hit ? hit.object.userData.regions[Math.floor(hit.face.a / 3)] : null;
  };
  const told = make("p", { className: "note" });
  told.setAttribute("role", "status");
  const tell = (region) => { told.textContent = region ? titles.get(region) ?? `${names.get(region) ?? region}: no value` : "Drag to turn, wheel or two fingers to come nearer, click to pick a region."; };
  let down = null;
  canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
  canvas.addEventListener("pointerup", (event) => {
    if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4) {
      const region = under(event);
      if (region && colours.has(region)) select(region === selected ? null : region);
    }
    down = null;
  });
  canvas.addEventListener("pointermove", (event) => { if (!event.buttons) tell(under(event) ?? selected); });
  controls.addEventListener("change", render);

  const bar = make("div", { className: "viewer-bar" });
  Object.keys(VIEWS).forEach((name) => {
    const button = make("button", { type: "button", className: "plain-button", textContent: name });
    button.addEventListener("click", () => look(VIEWS[name]));
    bar.append(button);
  });
  const list = (label, choices, action) => {
    const box = make("label", { textContent: `${label} ` });
    const choose = make("select");
    choices.forEach(([value, text]) => choose.append(make("option", { value, textContent: text })));
    choose.addEventListener("change", () => action(choose.value));
    box.append(choose);
    bar.append(box);
    return choose;
  };
  const surface = list("Cortex", [["both", "both sides"], ["lh", "left"], ["rh", "right"], ["glass", "glass"], ["none", "hidden"]], show);
  const drawn = [...colours.keys()].filter((region) => deep.some((part) => part.region === region) || cortex.some((half) => half.regions.includes(region)));
  const shown = drawn.map((region) => [region, names.get(region) ?? region]).sort((a, b) => a[1].localeCompare(b[1]));
  const picker = list("Region", [["", "none"], ...shown], (region) => select(region || null));
  host.append(bar, canvas, told);

  const mark = (region) => {
    selected = region;
    picker.value = shown.some(([name]) => name === region) ? region : "";
    if (region && showing === "both" && inner.some((mesh) => mesh.name === region)) { surface.value = "glass"; show("glass"); }
    paint();
    tell(region);
  };
  const resize = () => {
    const width = host.clientWidth;
    const height = Math.round(Math.min(width * 0.72, 560));
    renderer.setSize(width, height);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    render();
  };
  new ResizeObserver(resize).observe(host);
  resize();
  look(VIEWS.Left);
  mark(selected);
  return { mark, close: () => { controls.dispose(); renderer.dispose(); host.remove(); } };
};
