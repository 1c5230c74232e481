// Before the first paint, so that a page whose user chose a theme does not flash in the other one.
"use strict";
try {
  const theme = localStorage.getItem("vigil.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be denied; the system's scheme holds then.
}
