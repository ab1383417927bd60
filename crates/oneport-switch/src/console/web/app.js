// The frame around all screens: who has signed in, where one can go, and the keys.

import { html, render, useEffect, useLayoutEffect, useRef, useState } from './lib/preact.js';
import { enter, get, may, remove, whenGone } from './api.js';
import { ListeningBar, stopListening } from './listening.js';
import { First, SignIn } from './screens/login.js';
import { Overview } from './screens/overview.js';
import { Calls } from './screens/calls.js';
import { Call } from './screens/call.js';
import { Peers } from './screens/peers.js';
import { Peer } from './screens/peer.js';
import { Carriers } from './screens/carriers.js';
import { Radio } from './screens/radio.js';
import { Refusals } from './screens/refusals.js';
import { Records } from './screens/records.js';
import { Routes } from './screens/routes.js';
import { Log } from './screens/log.js';
import { Configuration } from './screens/configuration.js';
import { Users } from './screens/users.js';
import { Password } from './screens/password.js';

/** The screens: their path, name, key behind `g`, and the least role that sees them. */
const SCREENS = [
  { path: '', name: 'Overview', key: 'o', screen: Overview },
  { path: 'calls', name: 'Calls', key: 'c', screen: Calls },
  { path: 'peers', name: 'Peers', key: 'p', screen: Peers },
  { path: 'carriers', name: 'Carriers', key: 't', screen: Carriers },
  { path: 'radio', name: 'Radio', key: 'a', screen: Radio },
  { path: 'refusals', name: 'Refusals', key: 'r', screen: Refusals },
  { path: 'records', name: 'Records', key: 'd', screen: Records },
  { path: 'routes', name: 'Routes', key: 'w', screen: Routes },
  { path: 'log', name: 'Log', key: 'l', screen: Log, role: 'operator' },
  { path: 'configuration', name: 'Configuration', key: 'f', screen: Configuration, role: 'admin' },
  { path: 'users', name: 'Users', key: 'u', screen: Users, role: 'admin' },
];

/** Screens that are reached from others. */
const INNER = {
  call: { name: 'Call', screen: Call },
  peer: { name: 'Peer', screen: Peer },
  password: { name: 'Your password', screen: Password },
};

const place = () => {
  try {
    return location.hash.replace(/^#\/?/, '').split('?')[0].split('/').map(decodeURIComponent);
  } catch {
    // An address that nobody can read leads to the overview.
    return [''];
  }
};

function usePlace() {
  const [where, set] = useState(place);
  useEffect(() => {
    const moved = () => set(place());
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  return where;
}

/** Dark, light, or as the system has it. */
function Theme() {
  const [chosen, choose] = useState(document.documentElement.dataset.theme ?? 'system');
  const set = theme => {
    choose(theme);
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem('oneport-theme', theme);
    } catch {
      // Then it holds until the page is left.
    }
  };
  return html`<label class="theme"><span class="hidden">Colours</span>
    <select value=${chosen} onChange=${event => set(event.target.value)}>
      <option value="system">System</option><option value="light">Light</option><option value="dark">Dark</option>
    </select></label>`;
}

/** Whether somebody writes: then keys are letters. */
const writes = target => target.closest?.('input, textarea, select, dialog') !== null && target.closest !== undefined;

/** `/` leads to the search, and `g` with a screen's key behind it to that screen, however long somebody takes for it. */
function useKeys(screens) {
  const led = useRef(false);
  // Whoever sees the screen can press keys.
  useLayoutEffect(() => {
    const pressed = event => {
      if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target)) return;
      const screen = led.current && screens.find(one => one.key === event.key);
      led.current = !led.current && event.key === 'g';
      if (screen) {
        location.hash = `#/${screen.path}`;
      } else if (event.key === '/') {
        const search = document.querySelector('input[type=search]');
        if (search) {
          event.preventDefault();
          search.focus();
        }
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [screens]);
}

function Frame({ who, entered, leave }) {
  const [first, ...rest] = usePlace();
  const main = useRef(null);
  const [open, setOpen] = useState(false);
  const screens = SCREENS.filter(one => may(who, one.role ?? 'viewer'));
  useKeys(screens);
  const known = screens.find(one => one.path === first);
  const { name: title, screen: Screen } = INNER[first] ?? known ?? { name: 'Nothing' };
  const seen = useRef(false);
  useEffect(() => {
    document.title = `${title} – Oneport`;
    setOpen(false);
    // Who reads by ear is told where it has come to; not at the first sight of the page.
    if (seen.current) main.current.querySelector('h1')?.focus();
    seen.current = true;
  }, [first, rest[0]]);
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/"><img src="/console/icon.svg" alt="" width="24" height="24" />Oneport</a>
      <button class="menu" aria-expanded=${open} aria-controls="nav" onClick=${() => setOpen(!open)}>Menu</button>
      <nav id="nav" class=${open ? 'open' : ''} aria-label="Screens">
        <ul>${screens.map(one => html`<li key=${one.path}><a href=${`#/${one.path}`} aria-current=${one === known ? 'page' : undefined} title=${`Key: g ${one.key}`}>${one.name}</a></li>`)}</ul>
        <div class="who"><${Theme} /><span>${who.user} <small>${who.role}</small></span>
          <a href="#/password" aria-current=${first === 'password' ? 'page' : undefined}>Password</a>
          <button onClick=${leave}>Sign off</button></div>
      </nav>
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${Screen ? html`<${Screen} key=${[first, ...rest].join('/')} who=${who} entered=${entered} at=${rest} />` : html`<h1>There is no such screen</h1><p><a href="#/">To the overview</a></p>`}
    </main>
    <${ListeningBar} />`;
}

function App() {
  const [who, setWho] = useState(null);
  const [error, setError] = useState(null);
  const [first, code] = usePlace();
  const entered = standing => {
    enter(standing);
    setWho(standing);
  };
  const look = () => get('/console/session').then(entered, setError);
  useEffect(() => {
    whenGone(look);
    look();
  }, []);
  useEffect(() => {
    // A switch that restarts is waited for.
    if (!error) return undefined;
    const timer = setTimeout(() => { setError(null); look(); }, 2000);
    return () => clearTimeout(timer);
  }, [error]);
  if (error) return html`<main class="door"><h1>Oneport</h1><p role="alert">${error.message} The console tries again.</p></main>`;
  if (!who) return html`<main class="door"><p role="status">Loading…</p></main>`;
  if (!who.user && first === 'first' && who.empty && who.store) return html`<${First} code=${code} entered=${entered} />`;
  if (!who.user) return html`<${SignIn} standing=${who} entered=${entered} />`;
  const leave = () => remove('/console/session').finally(() => {
    stopListening();
    // Whoever comes next may see less.
    location.hash = '#/';
    return look();
  });
  return html`<${Frame} who=${who} entered=${entered} leave=${leave} />`;
}

const root = document.getElementById('app');
root.textContent = '';
render(html`<${App} />`, root);
