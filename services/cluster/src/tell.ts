// A listener that throws must not stop what told it, and must not go unheard either: its exception becomes
// the process's.

export function tell<T>(listener: (value: T) => void, value: T): void {
  try {
    listener(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
