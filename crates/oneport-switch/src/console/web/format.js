// Figures as people read them.

const whole = new Intl.NumberFormat('en');

export const count = number => (number === null || number === undefined ? '–' : whole.format(number));

export const things = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export const fixed = (number, digits = 1) => (number === null || number === undefined ? '–' : number.toFixed(digits));

/** Seconds as 1:05, or 2:03:09. */
export function clock(seconds) {
  const all = Math.floor(seconds);
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = number => String(number).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Seconds as 3 d 4 h, or 12 min. */
export function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

export function bytes(number) {
  const units = ['B', 'KB', 'MB', 'GB'];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${number.toFixed(number < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** How a mean opinion score sounds (ITU-T G.109), as a class of style and a word. */
export function sound(mos) {
  if (mos === null || mos === undefined) return ['none', 'not heard'];
  if (mos >= 4.34) return ['best', 'best'];
  if (mos >= 4.03) return ['good', 'high'];
  if (mos >= 3.6) return ['fair', 'medium'];
  if (mos >= 3.1) return ['poor', 'low'];
  return ['bad', 'bad'];
}

/** The moment of a record, in the reader's own time. */
export const moment = text => new Date(text).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' });
