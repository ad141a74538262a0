// Settings of a command: from its options and from STATESTORE_* variables (options win), all checked
// before anything starts. Every bad one is named, with what it was and what it may be; one that is not
// known is refused, since it is a typing error more often than not.
import { Command, CommanderError } from 'commander';
import { StateStoreError } from '@statestore/core';
import { z } from 'zod';

export interface Setting<T> {
  readonly schema: z.ZodType<T>;
  /** In words: what a bad one is answered with. */
  readonly allowed: string;
  readonly help: string;
  /** Shown in the help. */
  readonly fallback?: string;
  /** An option without a value. */
  readonly flag?: boolean;
  /** No option: it stands alone after the command, in the order of the table. */
  readonly operand?: boolean;
  /** What was given is shown to nobody. */
  readonly secret?: boolean;
  /** Only where this other setting is given, or only where it is not. */
  readonly onlyWith?: string;
  readonly notWith?: string;
}

export type SettingTable = Readonly<Record<string, Setting<unknown>>>;
export type SettingsOf<Table extends SettingTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never;
};

export const envPrefix = 'STATESTORE_';
/** Variables of that prefix that are no settings of a command. */
const otherVariables: ReadonlySet<string> = new Set(['STATESTORE_TEST_REPORT', 'STATESTORE_TEST_PORTS']);

/** A whole number, as text. */
export function wholeNumber(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .refine((n) => n >= min && n <= max);
}

/** An option without a value; the variable is `true` or `false`. */
export function flag(help: string): Setting<boolean> {
  return {
    schema: z
      .enum(['true', 'false'])
      .default('false')
      .transform((text) => text === 'true'),
    allowed: 'given or not; the variable: true, false',
    help,
    flag: true,
  };
}

function optionName(setting: string): string {
  return setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function variableName(setting: string): string {
  return envPrefix + setting.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

function describe(name: string, description: string, table: SettingTable): Command {
  const command = new Command(name).description(description).allowExcessArguments(false);
  for (const [setting, rule] of Object.entries(table)) {
    const { help, allowed, fallback, onlyWith, notWith } = rule;
    if (rule.operand === true) {
      command.argument(`<${optionName(setting)}>`, `${help} (${allowed})`);
      continue;
    }
    const notes = [
      allowed,
      ...(fallback === undefined ? [] : [`default ${fallback}`]),
      ...(onlyWith === undefined ? [] : [`only with --${optionName(onlyWith)}`]),
      ...(notWith === undefined ? [] : [`not with --${optionName(notWith)}`]),
      variableName(setting),
    ];
    const value = rule.flag === true ? '' : ' <value>';
    command.option(`--${optionName(setting)}${value}`, `${help} (${notes.join('; ')})`);
  }
  return command;
}

export interface SettingSources {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Throws `invalid_settings`, naming every bad one; undefined where help was asked for (and printed). */
export function readSettings<Table extends SettingTable>(
  name: string,
  description: string,
  table: Table,
  { argv, env }: SettingSources,
): SettingsOf<Table> | undefined {
  const command = describe(name, description, table)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  try {
    command.parse(argv, { from: 'user' });
  } catch (cause) {
    if (cause instanceof CommanderError && cause.code === 'commander.helpDisplayed') return undefined;
    const why = cause instanceof Error ? cause.message.replace(/^error: /, '') : String(cause);
    throw new StateStoreError('invalid_settings', why, { cause, hint: `See ${name} --help.` });
  }
  const given = givenSettings(table, command, env);
  const complaints = unknownVariables(table, env);
  const settings: Record<string, unknown> = {};
  for (const [setting, rule] of Object.entries(table)) {
    const found = given.get(setting);
    const parsed = rule.schema.safeParse(found?.text);
    const complaint = misplaced(setting, rule, given) ?? (parsed.success ? undefined : bad(setting, rule, found));
    if (complaint !== undefined) complaints.push(complaint);
    else if (parsed.success) settings[setting] = parsed.data;
  }
  if (complaints.length > 0)
    throw new StateStoreError('invalid_settings', complaints.join('\n'), { hint: `See ${name} --help.` });
  return settings as SettingsOf<Table>;
}

/** Where it stood, as a person knows it, and what. */
interface Given {
  readonly where: string;
  readonly text: string;
}

function givenSettings(table: SettingTable, command: Command, env: SettingSources['env']): ReadonlyMap<string, Given> {
  const given = new Map<string, Given>();
  const options = command.opts<Record<string, string | true>>();
  const operands = [...command.args];
  for (const [setting, rule] of Object.entries(table)) {
    if (rule.operand === true) {
      given.set(setting, { where: `<${optionName(setting)}>`, text: operands.shift() ?? '' });
      continue;
    }
    const [option, variable] = [options[setting], env[variableName(setting)]];
    if (option !== undefined) given.set(setting, { where: `--${optionName(setting)}`, text: String(option) });
    else if (variable !== undefined) given.set(setting, { where: variableName(setting), text: variable });
  }
  return given;
}

/** Why the setting cannot stand beside the others. */
function misplaced(setting: string, rule: Setting<unknown>, given: ReadonlyMap<string, Given>): string | undefined {
  const { onlyWith, notWith } = rule;
  const found = given.get(setting);
  if (found === undefined) return undefined;
  if (onlyWith !== undefined && !given.has(onlyWith))
    return `${found.where} is set, but means nothing without --${optionName(onlyWith)}`;
  if (notWith !== undefined && given.has(notWith))
    return `${found.where} is set, but means nothing with --${optionName(notWith)}`;
  return undefined;
}

function bad(setting: string, { allowed, secret = false }: Setting<unknown>, given: Given | undefined): string {
  if (given === undefined) return `--${optionName(setting)} is missing; it may be ${allowed}`;
  const text = given.text.replaceAll(/:\/\/[^@,]*@/g, '://…@');
  return `${given.where} is ${secret ? 'not right' : JSON.stringify(text)}; it may be ${allowed}`;
}

function unknownVariables(table: SettingTable, env: SettingSources['env']): string[] {
  const known = new Set(Object.keys(table).map(variableName));
  return Object.keys(env)
    .filter((variable) => variable.startsWith(envPrefix) && !known.has(variable) && !otherVariables.has(variable))
    .map(
      (variable) => `${variable} is set, but is no setting of this command; it may be one of ${[...known].join(', ')}`,
    );
}
