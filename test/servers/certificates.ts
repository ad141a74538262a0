// Certificates for servers of tests, made when they are needed: an authority, and what it signs. Written out by hand
// (X.509 v3 of RFC 5280, in DER), since Node.js makes none, and a machine may lack the program that does.
import type { KeyObject } from 'node:crypto';
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

const dayMs = 24 * 3600 * 1000;

export interface Certificate {
  readonly name: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

export interface CertificateOptions {
  /** Default: itself. */
  readonly by?: Certificate;
  /** Names and IPv4 addresses of the server; an authority has none. */
  readonly hosts?: readonly string[];
  readonly fromMs?: number;
  readonly untilMs?: number;
}

export function makeCertificate(name: string, options: CertificateOptions = {}): Certificate {
  const { by, hosts = [], fromMs = Date.now() - dayMs, untilMs = Date.now() + dayMs } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const content = sequence(
    tagged(0xa0, integer(Buffer.of(2))),
    // A leading 1 keeps it positive.
    integer(Buffer.concat([Buffer.of(1), randomBytes(8)])),
    ecdsaWithSha256,
    nameOf(by?.name ?? name),
    sequence(time(fromMs), time(untilMs)),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(hosts.length === 0 ? isAuthority() : hostsOf(hosts))),
  );
  const signature = signed(content, by?.key ?? privateKey);
  const whole = sequence(content, ecdsaWithSha256, tagged(0x03, Buffer.of(0), signature));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    name,
    key,
    certificate: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
  };
}

function signed(content: Buffer, key: string | KeyObject): Buffer {
  return sign('sha256', content, key);
}

function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, ...parts);
}

function integer(bytes: Uint8Array): Buffer {
  return tagged(0x02, bytes);
}

function object(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'));
}

const ecdsaWithSha256 = sequence(object('2a8648ce3d040302'));

function nameOf(common: string): Buffer {
  return sequence(tagged(0x31, sequence(object('550403'), tagged(0x0c, Buffer.from(common)))));
}

function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
  // Until 2049 the years have two digits.
  return tagged(0x17, Buffer.from(`${digits.slice(2)}Z`));
}

function isAuthority(): Buffer {
  const yes = tagged(0x01, Buffer.of(0xff));
  return sequence(object('551d13'), yes, tagged(0x04, sequence(yes)));
}

function hostsOf(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) =>
    isIPv4(host) ? tagged(0x87, Buffer.from(host.split('.').map(Number))) : tagged(0x82, Buffer.from(host)),
  );
  return sequence(object('551d11'), tagged(0x04, sequence(...names)));
}
