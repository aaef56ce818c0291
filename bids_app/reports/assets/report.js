"use strict";
const report = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);

  // what stands in a noscript element is taken out when its fold is opened, so that a long page opens at once
  const enhancers = [];
  const enhance = (root) => {
    all(".needs-js", root).forEach((element) => { element.hidden = false; });
    enhancers.forEach((step) => step(root));
  };
  const takeOut = (fold) => all(":scope > noscript, :scope > .content > noscript", fold).forEach((kept) => {
    const box = document.createElement("div");
    box.innerHTML = kept.textContent;
    kept.replaceWith(box);
    enhance(box);
  });
  document.addEventListener("toggle", (event) => { if (event.target.open) takeOut(event.target); }, true);
  // an answer in a summary can be marked and copied without unfolding it
  document.addEventListener("click", (event) => { if (event.target.closest(".answer") && String(getSelection())) event.preventDefault(); });
  const reveal = (element) => {
    for (let fold = element?.closest("details"); fold; fold = fold.parentNode.closest("details")) { fold.open = true; takeOut(fold); }
    const own = element?.matches("section, article") && one("details.fold", element);
    if (own) { own.open = true; takeOut(own); }
  };
  const toFragment = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id && document.getElementById(id);
    if (target) { reveal(target); target.scrollIntoView(); }
  };
  addEventListener("hashchange", toFragment);

  // print: the first level is unfolded for the paper
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = all("details.fold:not([open])");
    unfolded.forEach((fold) => { fold.open = true; takeOut(fold); });
  });
  addEventListener("afterprint", () => { unfolded.forEach((fold) => { fold.open = false; }); });

  // theme: the system's choice until the reader makes one
  const root = document.documentElement;
  const stored = { get: () => { try { return localStorage.getItem("normvol-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("normvol-theme", value); } catch { /* private window */ } } };
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const toggle = one("[data-theme-toggle]");
  const name = () => { toggle.textContent = isDark() ? "Light" : "Dark"; toggle.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
  if (stored.get()) root.dataset.theme = stored.get();
  toggle.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; stored.set(root.dataset.theme); name(); });
  systemDark.addEventListener("change", name);
  name();

  // tables: sort by a click on the heading, with numbers read from what is shown
  const amount = (text) => {
    const plain = text.replace(/[\u2009\u202f\u00a0 ,<>%]/g, "").replaceAll("\u2212", "-");
    return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [amount(a), amount(b)];
    if (x !== null && y !== null) return x - y;
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    return a.localeCompare(b);
  };
  enhancers.push((root) => all("table.sortable", root).forEach((table) => {
    all("thead th", table).forEach((heading) => {
      const index = [...heading.parentNode.children].indexOf(heading);
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = all("tbody tr", table);
        rows.sort((a, b) => (up ? 1 : -1) * compare(a.children[index].textContent.trim(), b.children[index].textContent.trim()));
        one("tbody", table).append(...rows);
      });
    });
  }));

  // search and filter over all tables of regions
  let again = () => {};
  enhancers.push((root) => {
    const search = one("[data-search]", root);
    if (!search) { again(); return; }
    const only = one("[data-only-flagged]", root);
    const choices = all("[data-filter]", root);
    const known = JSON.parse(one("#known-regions")?.textContent ?? "{}");
    const chosen = (name) => choices.find((choice) => choice.dataset.filter === name)?.value ?? "";
    const fits = (row) => {
      const region = row.children[0].title;
      const side = /^(lh_|Left-)/.test(region) ? "left" : /^(rh_|Right-)/.test(region) ? "right" : "";
      const lobe = known.regions?.[region] === undefined ? "" : known.lobes[known.regions[region]];
      return (!chosen("lobe") || lobe === chosen("lobe")) && (!chosen("side") || side === chosen("side"))
        && (!chosen("deviation") || row.classList.contains(chosen("deviation")));
    };
    const found = one("[data-found]", root);
    const filter = () => {
      const wanted = search.value.trim().toLowerCase().split(/\s+/);
      const idle = search.value.trim() === "" && !(only && only.checked) && choices.every((choice) => !choice.value);
      let count = 0;
      all("table.searchable", root).forEach((table) => {
        let kept = 0;
        all("tbody tr", table).forEach((row) => {
          const heading = row.children[0];
          const text = `${heading.textContent} ${heading.title}`.toLowerCase();
          const flagged = row.classList.contains("infra") || row.classList.contains("supra");
          row.hidden = !(wanted.every((word) => text.includes(word)) && (!only || !only.checked || flagged) && fits(row)
            && (!chosen("measure") || table.dataset.measure === chosen("measure")));
          if (!row.hidden) kept += 1;
        });
        table.closest(".scroll").hidden = kept === 0;
        const folded = table.closest("details.more");
        if (folded) folded.open = !idle && kept > 0;
        if (table.closest("details:not(.more)")?.open !== false) count += kept;
      });
      found.textContent = idle ? "" : count === 0 ? "nothing found" : count === 1 ? "one row" : `${count} rows`;
    };
    again = filter;
    search.addEventListener("input", filter);
    if (only) only.addEventListener("change", filter);
    choices.forEach((choice) => choice.addEventListener("change", filter));
  });
  enhancers.push((root) => one("[data-people]", root)?.addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    all(".people li", root).forEach((item) => { item.hidden = !item.textContent.toLowerCase().includes(wanted); });
  }));

  // any region's chart on demand
  const picker = one("[data-picker]");
  if (picker) {
    const gallery = one("[data-all-charts]");
    const place = one("[data-picked]");
    gallery.hidden = true;
    picker.addEventListener("change", () => {
      all("details", gallery).forEach(takeOut);
      const chart = picker.value && document.getElementById(picker.value);
      place.replaceChildren(...(chart ? [chart.cloneNode(true)] : []));
      place.querySelectorAll("[id]").forEach((element) => { element.dataset.region = element.id.slice(8); element.removeAttribute("id"); });
      place.querySelectorAll(".save").forEach((element) => element.remove());
      enhance(place);
    });
  }

  const download = (name, content, type) => {
    const link = document.createElement("a");
    link.href = content instanceof Blob ? URL.createObjectURL(content) : URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // a reader's rating of each scan, kept in this browser until it is downloaded
  const folder = `normvol-ratings ${location.pathname.replace(/[^/]*$/, "")}`;
  let ratings = {};
  try { ratings = JSON.parse(localStorage.getItem(folder) ?? "{}"); } catch { /* private window */ }
  all("[data-scan]").forEach((form) => {
    const scan = form.dataset.scan;
    const reason = one("[data-reason]", form);
    all("input[type=radio]", form).forEach((input) => { input.checked = ratings[scan]?.[0] === input.value; });
    reason.value = ratings[scan]?.[1] ?? "";
    form.addEventListener("input", () => {
      const chosen = one("input:checked", form);
      if (chosen) ratings[scan] = [chosen.value, reason.value.replace(/\s+/g, " ").trim()];
      try { localStorage.setItem(folder, JSON.stringify(ratings)); } catch { /* private window */ }
    });
  });
  one("[data-ratings]")?.addEventListener("click", () => {
    const said = one("[data-said]");
    const bare = Object.keys(ratings).filter((scan) => ratings[scan][0] === "exclude" && !ratings[scan][1]);
    if (bare.length) { said.textContent = `Say why ${bare[0].replace("\tn/a", "").replace("\t", " ")} is excluded.`; return; }
    const rows = Object.keys(ratings).sort().map((scan) => `${scan}\t${ratings[scan][0]}\t${ratings[scan][1] || "n/a"}`);
    said.textContent = rows.length ? `${rows.length} rated.` : "Nothing is rated yet.";
    if (rows.length) download("ratings.tsv", ["participant_id\tsession_id\trating\treason", ...rows, ""].join("\n"), "text/tab-separated-values");
  });

  const start = () => { enhance(document); toFragment(); };
  return { all, one, enhancers, download, start };
})();
