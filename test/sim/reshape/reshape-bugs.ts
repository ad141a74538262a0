// Breaks of the protocol of splits and merges, put in on purpose to show that the checks notice them.

export const reshapeBugs = {
  'topology-before-hand-over': 'A split is finished in the topology as soon as its child is built',
  'hand-over-with-old-numbers': 'A hand-over says what was counted when the split began',
  'hand-over-of-any-fence': 'A hand-over counts under whichever fence there is',
  'merge-without-remember': 'Requests that the source remembers are not told to the target',
  'absorb-without-staging': "A target's replica takes absorb without having all entries",
  'staged-before-the-fence': 'What is written to the source between staging and fence is not staged',
  'absorb-of-what-is-left': 'A merge goes on with what a replica of the source has that was copied after the hand-over',
  'dropped-without-unfence': 'A cancelled reshape leaves the topology at once',
  'unfence-not-for-good': 'A cancelled reshape is unfenced as one that is tried again',
  'child-after-hand-over': "A child is built of a source's state after the hand-over",
  'cleaner-takes-staged': 'The cleaner removes what a merge has staged',
  'origin-is-hand-over': "The child's origin is the position of the hand-over",
  'fence-does-nothing': 'Fenced slots are written to',
  'in-doubt-goes-on': 'A gateway that does not know what became of a write sends it to the new owner at once',
  'list-goes-on': 'A page of a listing is made of answers of two layouts',
  'watch-does-not-wait': "A watch of a merge's target passes its absorb before the source was followed to its end",
  'sessions-without-layout': 'A session token does not say which layout was seen',
} as const;

export type ReshapeBug = keyof typeof reshapeBugs;
