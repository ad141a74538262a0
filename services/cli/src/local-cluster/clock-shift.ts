// Preloaded into a node or gateway by `node --import clock-shift.ts?ms=N`: its wall clock is off by N
// milliseconds. The monotonic clock and timers stay as they are, as on a machine with a wrong clock.
export const shiftMs = Number(new URL(import.meta.url).searchParams.get('ms'));
const RealDate = globalThis.Date;
const now = (): number => RealDate.now() + shiftMs;

globalThis.Date = new Proxy(RealDate, {
  apply: () => new RealDate(now()).toString(),
  construct: (target, args: readonly unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now()] : [...args], newTarget) as Date,
  get: (target, property) => (property === 'now' ? now : (Reflect.get(target, property) as unknown)),
});
