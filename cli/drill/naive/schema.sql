-- Licenses and their machines, as a vendor's own service would keep them.
CREATE TABLE licenses (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key text NOT NULL UNIQUE,
    name text,
    max_machines integer CHECK (max_machines > 0),
    suspended boolean NOT NULL DEFAULT false,
    expiry timestamptz,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE machines (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    license_id uuid NOT NULL REFERENCES licenses (id) ON DELETE CASCADE,
    fingerprint text NOT NULL,
    hostname text,
    created timestamptz NOT NULL DEFAULT now(),
    UNIQUE (license_id, fingerprint)
);
