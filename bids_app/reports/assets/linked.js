// one region selected in every map, table and chart; the page's address keeps it
(() => {
  const { all, one, enhancers, download } = report;
  const KEY = "#region=";
  const SVG = "http://www.w3.org/2000/svg";
  const hrefOf = (region) => `#atlas-${region}`;
  const regionOf = (element) => {
    const use = element.closest("use[href^='#atlas-']");
    if (use) return use.getAttribute("href").slice(7);
    const place = element.closest("[data-region], figure[id^='centile-'], table.sheet tbody tr");
    if (!place) return null;
    if (place.matches("tr")) return one("th[title]", place)?.title ?? null;
    return place.dataset.region ?? place.id.slice(8);
  };
  const button = (words, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "plain-button";
    made.textContent = words;
    made.addEventListener("click", action);
    return made;
  };

  let selected = null;
  const bar = document.createElement("aside");
  bar.className = "selection screen-only";
  bar.setAttribute("aria-label", "Selected region");
  bar.hidden = true;
  const words = document.createElement("p");
  words.setAttribute("role", "status");
  bar.append(words, button("Clear", () => select(null)));
  document.body.append(bar);

  const told = (region) => {
    const shape = one(`use[href="${hrefOf(region)}"] title`);
    const row = all("table.sheet tbody th[title]").find((heading) => heading.title === region);
    return shape?.textContent ?? row?.textContent ?? region;
  };
  const mark = (root) => {
    all(".pick", root).forEach((element) => element.remove());
    all(".selected", root).forEach((element) => element.classList.remove("selected"));
    if (!selected) return;
    all("svg.brain-map", root).forEach((map) => {
      if (!one(`use[href="${hrefOf(selected)}"]`, map)) return;
      const ring = document.createElementNS(SVG, "use");
      ring.setAttribute("href", hrefOf(selected));
      ring.setAttribute("class", "pick");
      map.append(ring);
    });
    all("table.sheet tbody th[title]", root).forEach((heading) => { if (heading.title === selected) heading.parentNode.classList.add("selected"); });
    all(`[data-region="${CSS.escape(selected)}"], #centile-${CSS.escape(selected)}`, root).forEach((element) => element.classList.add("selected"));
  };
  const select = (region, keep = true) => {
    selected = region;
    mark(document);
    bar.hidden = !region;
    words.textContent = region ? told(region) : "";
    const picker = one("[data-picker]");
    if (region && picker && one(`option[value="centile-${CSS.escape(region)}"]`, picker)) {
      picker.value = `centile-${region}`;
      picker.dispatchEvent(new Event("change"));
    }
    viewers.forEach((viewer) => viewer.mark(region));
    document.dispatchEvent(new CustomEvent("region", { detail: region }));
    if (keep) history.replaceState(null, "", region ? KEY + encodeURIComponent(region) : location.pathname + location.search);
  };
  const fromAddress = () => { if (location.hash.startsWith(KEY)) select(decodeURIComponent(location.hash.slice(KEY.length)), false); };
  addEventListener("hashchange", fromAddress);
  document.addEventListener("click", (event) => {
    if (event.target.closest("a, button, input, select, summary, label")) return;
    const region = regionOf(event.target);
    if (region) select(region === selected ? null : region);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && selected) select(null);
    const map = event.target.closest?.("svg.brain-map");
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (map && step) {
      const names = [...new Set(all("use[href^='#atlas-']:not(.pick)", map).filter((use) => one("title", use)).map(regionOf))].sort();
      select(names[(names.indexOf(selected) + step + names.length) % names.length]);
      event.preventDefault();
    }
    const heading = event.target.closest?.("table.sheet tbody th[tabindex]");
    if (heading && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const near = all("tr:not([hidden]) > th[title]", heading.closest("tbody"));
      near[near.indexOf(heading) + step]?.focus();
      event.preventDefault();
    }
    if (heading && event.key === "Enter") select(heading.title);
  });

  // the brain that turns: loaded when it is asked for, from files beside the page
  const SCRIPTS = ["three.js", "brain3d-geometry.js", "brain3d.js"];
  const NO_VALUE = "#eceef0";
  const viewers = new Set();
  let loading = null;
  const load = () => {
    loading ??= SCRIPTS.reduce((before, name) => before.then(() => new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `assets/${name}`;
      script.addEventListener("load", done);
      script.addEventListener("error", () => failed(new Error(`assets/${name} is not beside this page`)));
      document.head.append(script);
    })), Promise.resolve());
    return loading;
  };
  const painted = (map) => {
    const [colours, titles] = [new Map(), new Map()];
    all("use[href^='#atlas-']", map).forEach((use) => {
      const [region, fill] = [regionOf(use), use.getAttribute("fill")];
      if (!fill?.startsWith("#") || !one("title", use) || fill === NO_VALUE) return;
      colours.set(region, fill);
      titles.set(region, one("title", use).textContent);
    });
    return { colours, titles, names: new Map([...titles].map(([region, text]) => [region, text.split(":")[0]])) };
  };
  const turning = (map) => {
    const asked = button("3-D", async () => {
      const open = one(".viewer", map.parentNode);
      if (open) { [...viewers].filter((viewer) => viewer.host === open).forEach((viewer) => { viewer.close(); viewers.delete(viewer); }); open.remove(); asked.setAttribute("aria-expanded", "false"); return; }
      const host = document.createElement("div");
      host.className = "viewer screen-only";
      map.after(host);
      asked.setAttribute("aria-expanded", "true");
      try {
        await load();
        if (!host.isConnected) return;
        viewers.add({ host, ...window.normvolBrain3d(host, { ...painted(map), selected, select }) });
      } catch (error) {
        loading = null;
        host.replaceChildren(Object.assign(document.createElement("p"), { className: "note", textContent: `No view in three dimensions: ${error.message}. The drawn map shows the same.` }));
      }
    });
    asked.setAttribute("aria-expanded", "false");
    return asked;
  };

  // what is drawn or listed, to take away
  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap", "font-size", "font-weight", "font-family", "text-anchor"];
  const drawn = (svg) => {
    const copy = svg.cloneNode(true);
    const from = [svg, ...all("*", svg)];
    const outlines = document.createElementNS(SVG, "defs");
    [copy, ...all("*", copy)].forEach((element, index) => {
      const style = getComputedStyle(from[index]);
      if (!element.closest("defs")) LOOKS.forEach((name) => element.setAttribute(name, style.getPropertyValue(name)));
      const target = element.getAttribute("href") && document.querySelector(element.getAttribute("href"));
      if (target && !one(`[id="${target.id}"]`, outlines)) outlines.append(target.cloneNode(true));
    });
    const [, , width, height] = svg.getAttribute("viewBox").split(" ");
    const ground = document.createElementNS(SVG, "rect");
    Object.entries({ width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor }).forEach(([name, value]) => ground.setAttribute(name, value));
    copy.prepend(outlines, ground);
    Object.entries({ xmlns: SVG, width, height }).forEach(([name, value]) => copy.setAttribute(name, value));
    return { text: new XMLSerializer().serializeToString(copy), width: Number(width), height: Number(height) };
  };
  const asPng = (svg, name) => {
    const { text, width, height } = drawn(svg);
    const image = new Image();
    image.addEventListener("load", () => {
      const canvas = document.createElement("canvas");
      const scale = Math.max(1, 2400 / width);
      canvas.width = width * scale;
      canvas.height = height * scale;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => download(`${name}.png`, blob));
    });
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  };
  const nameOf = (element) => element.textContent.trim().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "normvol";
  const asTsv = (table) => all("tr:not([hidden])", table).map((row) => [...row.children].filter((cell) => !cell.classList.contains("gauge"))
    .map((cell) => cell.textContent.trim().replace(/\s+/g, " ").replace(/(\d) (?=\d{3})/g, "$1").replace(/(^|\de)\u2212(?=\d)/g, "$1-").replace(/^\u2013$/, "n/a")).join("\t")).join("\n") + "\n";
  const tools = (...made) => {
    const line = document.createElement("div");
    line.className = "save screen-only";
    line.append(...made);
    return line;
  };
  enhancers.push((root) => {
    all("svg.brain-map", root).forEach((map) => { map.tabIndex = 0; map.setAttribute("aria-description", "Arrow keys go from region to region"); });
    all("table.sheet tbody", root).forEach((body) => all("th[title]", body).forEach((heading, index) => { heading.tabIndex = index ? -1 : 0; }));
    all("figure", root).forEach((figure) => {
      const svg = one("svg", figure);
      if (!svg || one(".save", figure)) return;
      const name = nameOf(one("figcaption", figure) ?? one("title", svg) ?? figure);
      figure.append(tools(...(svg.matches(".brain-map") ? [turning(svg)] : []), button("SVG", () => download(`${name}.svg`, drawn(svg).text, "image/svg+xml")), button("PNG", () => asPng(svg, name))));
    });
    all(".scroll > table", root).forEach((table) => {
      const name = nameOf(one("caption", table) ?? table);
      const copy = button("Copy", () => navigator.clipboard.writeText(asTsv(table)).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Not allowed here"; }));
      table.parentNode.after(tools(copy, button("TSV", () => download(`${name}.tsv`, asTsv(table), "text/tab-separated-values"))));
    });
    mark(root);
  });

  // heat map: the value under pointer, finger or arrow keys
  all("[data-heat]").forEach((figure) => {
    const data = JSON.parse(one("script[type='application/json']", figure).textContent);
    const z = new Int16Array(Uint8Array.from(atob(data.z), (letter) => letter.charCodeAt(0)).buffer);
    const [body, image, tip] = [one(".heat-image", figure), one("img", figure), one(".tip", figure)];
    const [cursor, column] = ["heat-cursor", "heat-column"].map((name) => { const made = document.createElement("i"); made.className = name; made.hidden = true; body.append(made); return made; });
    const [rows, columns] = [data.people.length, data.regions.length];
    let here = [0, 0];
    const show = (row, at) => {
      here = [row, at];
      const value = z[row * columns + at];
      const shown = value === -32768 ? "not scored" : `z ${(value / 100).toFixed(2).replace("-", "\u2212")}`;
      tip.textContent = `${data.people[row]} · ${data.regions[at]} · ${shown}`;
      if (data.links[row]) {
        const link = document.createElement("a");
        link.href = data.links[row];
        link.textContent = "report";
        tip.append(" · ", link);
      }
      cursor.hidden = false;
      cursor.style.cssText = `left:${(100 * at) / columns}%;width:${100 / columns}%;top:${(100 * row) / rows}%;height:${100 / rows}%`;
    };
    const under = (event) => {
      const box = image.getBoundingClientRect();
      const part = (at, start, length, n) => Math.min(n - 1, Math.max(0, Math.floor(((at - start) / length) * n)));
      return [part(event.clientY, box.top, box.height, rows), part(event.clientX, box.left, box.width, columns)];
    };
    image.addEventListener("pointermove", (event) => show(...under(event)));
    image.addEventListener("click", (event) => { show(...under(event)); select(data.names[here[1]]); });
    body.tabIndex = 0;
    body.addEventListener("focus", () => show(...here));
    body.addEventListener("keydown", (event) => {
      const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
      if (down || right) { show((here[0] + down + rows) % rows, (here[1] + right + columns) % columns); event.preventDefault(); }
      if (event.key === " ") { select(data.names[here[1]]); event.preventDefault(); }
      if (event.key === "Enter" && data.links[here[0]]) location.href = data.links[here[0]];
    });
    document.addEventListener("region", (event) => {
      const at = data.names.indexOf(event.detail);
      column.hidden = at < 0;
      column.style.cssText = `left:${(100 * at) / columns}%;width:${100 / columns}%`;
    });
  });

  report.start();
  fromAddress();
})();
