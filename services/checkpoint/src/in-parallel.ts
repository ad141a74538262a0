// Many calls, few at a time, answers in the order of the questions. The first failure ends it: what is under
// way is waited for, nothing more is begun.

export async function inParallel<Item, Answer>(
  items: readonly Item[],
  atOnceMax: number,
  call: (item: Item) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const at = next++;
      try {
        answers[at] = await call(items[at]!);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
  return answers;
}
