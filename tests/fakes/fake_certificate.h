/* Certificates made on the spot, in a directory: an authority and server certificates below it, good and bad. */
#pragma once

enum fake_certificate {
    CERTIFICATE_GOOD, /* for localhost and 127.0.0.1, signed by the authority */
    CERTIFICATE_SELF_SIGNED,
    CERTIFICATE_OTHER_AUTHORITY,
    CERTIFICATE_WRONG_NAME,
    CERTIFICATE_EXPIRED,
    CERTIFICATE_NOT_YET_VALID,
    CERTIFICATE_NAME_ONLY_IN_SUBJECT,
    CERTIFICATE_NAME_FOR_ADDRESS, /* "127.0.0.1" as a DNS name: not for the address */
    CERTIFICATE_PARTIAL_WILDCARD, /* l*host */
    CERTIFICATE_SUPERSTRING,      /* localhost.example.com */
    CERTIFICATE_WRONG_USAGE,      /* for clients only */
    CERTIFICATE_ISSUED_BY_NON_CA, /* its issuer is a server certificate of the authority */
    CERTIFICATE_COUNT
};

const char *fake_certificate_name(enum fake_certificate kind);
/* Writes ca.pem, and for each kind KIND.pem (with its chain) and KIND.key. */
void fake_certificates_make(const char *directory);
/* The paths of a kind's files; the caller frees them. */
char *fake_certificate_path(const char *directory, enum fake_certificate kind);
char *fake_certificate_key_path(const char *directory, enum fake_certificate kind);
