// Before anything is shown: the colours that were chosen here, if not those of the system.
try {
  const chosen = localStorage.getItem('oneport-theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing has the system's colours.
}
