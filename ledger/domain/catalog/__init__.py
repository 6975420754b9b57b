"""The catalog: accounts, products, policies, entitlements, tokens, rules. Pure, like the rest."""
