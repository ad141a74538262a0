// Preloaded into a node or gateway by `node --import clock-shift.ts?ms=N`: its wall clock is off by N
// milliseconds. The monotonic clock and timers stay as they are, as on a machine with a wrong clock.
export const shiftMs = Number(new URL(import.meta.url).searchParams.get('ms'));
const RealDate = globalThis.Date;

class ShiftedDate extends RealDate {
  constructor(...args: readonly unknown[]) {
    if (args.length === 0) super(ShiftedDate.now());
    else super(...(args as [number]));
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
}

globalThis.Date = ShiftedDate as DateConstructor;
