import type { Migration } from '@soma/ports/sql/port'

/**
 * The schema `identity`. identity-service owns and applies it; the kernel reads of it what an API key stands for.
 *
 * Every row belongs to one tenant, people included: who works in two has two accounts. The tables of better-auth (users, credentials,
 * sessions, verifications, two_factors) get their tenant from the setting that row-level security goes by, so that better-auth neither
 * knows of tenants nor can reach another's rows.
 */
export const IDENTITY_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-api-keys',
    up: `create table api_keys (
      id text primary key,
      tenant text not null,
      name text not null,
      secret_sha256 bytea not null,
      capabilities text[] not null,
      within jsonb not null,
      created_by text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      revoked_at timestamptz,
      last_used_at timestamptz
    );
    create index on api_keys (tenant, id)`,
  },
  {
    name: '002-people',
    up: `alter table api_keys add column holder text, add column replaces text;
    create unique index api_keys_replaces on api_keys (replaces);
    create index api_keys_holder on api_keys (tenant, holder);

    create table tenants (
      tenant text primary key,
      name text not null,
      created_at timestamptz not null default now()
    );
    create table roles (
      tenant text not null,
      name text not null,
      summary text not null,
      capabilities text[] not null,
      primary key (tenant, name)
    );
    create table service_accounts (
      tenant text not null,
      id text not null,
      summary text not null,
      roles text[] not null,
      is_active boolean not null default true,
      created_by text not null,
      created_at timestamptz not null default now(),
      primary key (tenant, id)
    );

    create table users (
      tenant text not null default current_setting('soma.tenant'),
      id text primary key,
      email text not null,
      name text not null,
      email_verified boolean not null,
      image text,
      two_factor_enabled boolean not null default false,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      roles text[] not null default '{}',
      is_active boolean not null default true,
      unique (tenant, email)
    );
    create index on users (tenant, id);
    create table credentials (
      tenant text not null default current_setting('soma.tenant'),
      id text primary key,
      user_id text not null references users on delete cascade,
      account_id text not null,
      provider_id text not null,
      password text,
      access_token text,
      refresh_token text,
      id_token text,
      access_token_expires_at timestamptz,
      refresh_token_expires_at timestamptz,
      scope text,
      created_at timestamptz not null,
      updated_at timestamptz not null
    );
    create index on credentials (user_id);
    create table sessions (
      tenant text not null default current_setting('soma.tenant'),
      id text primary key,
      token text not null unique,
      user_id text not null references users on delete cascade,
      expires_at timestamptz not null,
      created_at timestamptz not null,
      updated_at timestamptz not null,
      ip_address text,
      user_agent text,
      factor_at timestamptz
    );
    create index on sessions (user_id);
    create table verifications (
      tenant text not null default current_setting('soma.tenant'),
      id text primary key,
      identifier text not null,
      value text not null,
      expires_at timestamptz not null,
      created_at timestamptz not null,
      updated_at timestamptz not null
    );
    create index on verifications (identifier);
    create table two_factors (
      tenant text not null default current_setting('soma.tenant'),
      id text primary key,
      user_id text not null references users on delete cascade,
      secret text not null,
      backup_codes text not null,
      verified boolean not null default true,
      failed_verification_count integer not null default 0,
      locked_until timestamptz
    );
    create index on two_factors (user_id);
    create table used_codes (
      tenant text not null default current_setting('soma.tenant'),
      user_id text not null references users on delete cascade,
      code_sha256 bytea not null,
      used_at timestamptz not null default now(),
      primary key (user_id, code_sha256)
    );

    create table invitations (
      tenant text not null,
      id text primary key,
      secret_sha256 bytea not null,
      purpose text not null,
      email text not null,
      roles text[] not null,
      user_id text references users on delete cascade,
      created_by text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      used_at timestamptz,
      revoked_at timestamptz
    );
    create index on invitations (tenant, id);
    create table attempts (
      subject bytea primary key,
      failures integer not null,
      last_at timestamptz not null,
      blocked_until timestamptz not null
    )`,
  },
  {
    name: '003-training-locks',
    up: `create table training_locks (
      tenant text primary key,
      holder text not null,
      reason text not null,
      started_at timestamptz not null,
      expires_at timestamptz not null,
      token bigint not null
    )`,
  },
]
