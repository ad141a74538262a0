// Bounds of repositories, the places where checkpoints are kept: names, requests, attempts. Part of limits.ts,
// which says what a bound is for.

/** One object, as it is read: what says to be larger is none of ours, and does not fill the memory. */
export const repositoryObjectBytesMax = 256 * 1024 * 1024;
/** Name of an object: S3 takes keys of 1024 bytes, the prefix among them. */
export const repositoryNameCharsMax = 700;
export const repositoryPrefixCharsMax = 300;
/** Part of a name between two slashes: file systems take 255 bytes, and a draft's name is longer. */
export const repositorySegmentCharsMax = 200;
/** Requests, or files written and read, at a time by one process: more fill the line and the disk, not the time. */
export const repositoryConcurrencyDefault = 16;
export const repositoryConcurrencyMax = 256;
/** Attempts of one request. With the pauses between them some seconds of a store that is away. */
export const repositoryAttemptsDefault = 5;
export const repositoryAttemptsMax = 20;
/** Pause before another attempt: doubles from the first to the last, at random between none and all of it. */
export const repositoryBackoffMinMs = 100;
export const repositoryBackoffMaxMs = 5000;
/** What a store asks to wait is done, but no longer than this. */
export const repositoryRetryAfterMsMax = 30_000;
/** How long a store may take to accept a connection. */
export const repositoryConnectTimeoutMs = 5000;
/** One attempt, its bodies with it: 4 MiB at 140 KiB/s. */
export const repositoryRequestTimeoutMs = 30_000;
export const repositoryTimeoutMsMax = 15 * 60_000;
/** Names in one request of a listing, and in one of a removal: S3 takes no more. */
export const repositoryListPage = 1000;
export const repositoryRemovePage = 1000;
/** Drafts of files, and objects of a probe, that are this old belong to processes that were killed: no write takes as long. */
export const repositoryLeftoverMs = 3600_000;
/** Rounds of the probe in which several create one object at once, and how many do: a check that is not atomic lets two through. */
export const repositoryProbeRounds = 8;
export const repositoryProbeRacers = 4;
/** A process that starts waits this long to hear whether its repository will do: some 50 round trips. It is asked again before it is used. */
export const repositoryStartProbeMs = 8000;
/** Attempts to put a file into a folder that somebody else removes at the moment because it is empty. */
export const repositoryFolderAttempts = 10;
/** Closing waits this long for what is under way: a file system may hang, and a node has to end. */
export const repositoryCloseMs = 5000;
/** Kept in a repository so that something can be deleted where it is full: thousands of markers of some 200 bytes, or a few hundred of 4 KiB pages. */
export const repositoryReserveBytes = 2 * 1024 * 1024;
