// Before the first paint: no flash of the other theme.
"use strict";
try {
  const theme = localStorage.getItem("vigil.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be denied; the system's scheme holds then.
}
