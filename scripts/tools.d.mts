/** The path of a tool's binary; built where there is none. Throws an Error that says what is missing. */
export function tool(name: string): string;
