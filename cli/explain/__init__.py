"""Why a signature does not match: hypotheses about the signature, the key and the body, each tried with an HMAC."""
