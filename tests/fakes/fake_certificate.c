/* X.509 by OpenSSL's API: one row per kind. */
#include "fake_certificate.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "invariant.h"
#include "xalloc.h"

enum { DAY_S = 24 * 3600 };

enum signer { SIGNER_AUTHORITY, SIGNER_ITSELF, SIGNER_STRANGER, SIGNER_SERVER };

static const struct kind {
    const char *name;
    const char *subject;
    const char *alternative_names; /* NULL: none */
    const char *usage;             /* extended; NULL: any */
    enum signer signer;
    long from_s;
    long until_s;
} kinds[CERTIFICATE_COUNT] = {
#define GOOD_NAMES "DNS:localhost,IP:127.0.0.1"
    [CERTIFICATE_GOOD] = { "good", "good", GOOD_NAMES, "serverAuth", SIGNER_AUTHORITY, -DAY_S,
                           DAY_S },
    [CERTIFICATE_SELF_SIGNED] = { "self-signed", "localhost", GOOD_NAMES, NULL, SIGNER_ITSELF,
                                  -DAY_S, DAY_S },
    [CERTIFICATE_OTHER_AUTHORITY] = { "other-authority", "localhost", GOOD_NAMES, NULL,
                                      SIGNER_STRANGER, -DAY_S, DAY_S },
    [CERTIFICATE_WRONG_NAME] = { "wrong-name", "x", "DNS:mail.elsewhere.example,IP:127.0.0.2", NULL,
                                 SIGNER_AUTHORITY, -DAY_S, DAY_S },
    [CERTIFICATE_EXPIRED] = { "expired", "x", GOOD_NAMES, NULL, SIGNER_AUTHORITY, -2L * DAY_S,
                              -DAY_S },
    [CERTIFICATE_NOT_YET_VALID] = { "not-yet-valid", "x", GOOD_NAMES, NULL, SIGNER_AUTHORITY, DAY_S,
                                    2L * DAY_S },
    [CERTIFICATE_NAME_ONLY_IN_SUBJECT] = { "name-only-in-subject", "localhost", NULL, NULL,
                                           SIGNER_AUTHORITY, -DAY_S, DAY_S },
    [CERTIFICATE_NAME_FOR_ADDRESS] = { "name-for-address", "127.0.0.1", "DNS:127.0.0.1", NULL,
                                       SIGNER_AUTHORITY, -DAY_S, DAY_S },
    [CERTIFICATE_PARTIAL_WILDCARD] = { "partial-wildcard", "x", "DNS:l*host,DNS:*", NULL,
                                       SIGNER_AUTHORITY, -DAY_S, DAY_S },
    [CERTIFICATE_SUPERSTRING] = { "superstring", "x", "DNS:localhost.example.com,DNS:xlocalhost",
                                  NULL, SIGNER_AUTHORITY, -DAY_S, DAY_S },
    [CERTIFICATE_WRONG_USAGE] = { "wrong-usage", "x", GOOD_NAMES, "clientAuth", SIGNER_AUTHORITY,
                                  -DAY_S, DAY_S },
    [CERTIFICATE_ISSUED_BY_NON_CA] = { "issued-by-non-ca", "x", GOOD_NAMES, NULL, SIGNER_SERVER,
                                       -DAY_S, DAY_S },
};

/* A certificate and its key. */
struct identity {
    X509 *certificate;
    EVP_PKEY *key;
};

static void identity_done(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    MUST(extension != NULL);
    MUST(X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void set_subject(X509 *certificate, const char *name)
{
    MUST(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                    (const unsigned char *)name, -1, -1, 0) == 1);
}

static struct identity identity_new(const char *subject, long from_s, long until_s)
{
    static long serial = 1;
    struct identity identity = { .certificate = X509_new(), .key = EVP_EC_gen("P-256") };

    MUST(identity.certificate != NULL && identity.key != NULL);
    (void)X509_set_version(identity.certificate, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(identity.certificate), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(identity.certificate), from_s);
    (void)X509_gmtime_adj(X509_getm_notAfter(identity.certificate), until_s);
    MUST(X509_set_pubkey(identity.certificate, identity.key) == 1);
    set_subject(identity.certificate, subject);
    return identity;
}

static void sign(struct identity *identity, const struct identity *issuer)
{
    MUST(X509_set_issuer_name(identity->certificate, X509_get_subject_name(issuer->certificate)) ==
         1);
    MUST(X509_sign(identity->certificate, issuer->key, EVP_sha256()) > 0);
}

static struct identity authority_new(const char *subject)
{
    struct identity authority = identity_new(subject, -DAY_S, DAY_S);

    add_extension(authority.certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(authority.certificate, NID_key_usage, "critical,keyCertSign");
    sign(&authority, &authority);
    return authority;
}

const char *fake_certificate_name(enum fake_certificate kind)
{
    return kinds[kind].name;
}

char *fake_certificate_path(const char *directory, enum fake_certificate kind)
{
    return xasprintf("%s/%s.pem", directory, kinds[kind].name);
}

char *fake_certificate_key_path(const char *directory, enum fake_certificate kind)
{
    return xasprintf("%s/%s.key", directory, kinds[kind].name);
}

static void write_certificate(const char *path, X509 *certificate, X509 *chain)
{
    FILE *file = fopen(path, "w");

    MUST(file != NULL);
    MUST(PEM_write_X509(file, certificate) == 1);
    if (chain != NULL)
        MUST(PEM_write_X509(file, chain) == 1);
    MUST(fclose(file) == 0);
}

static void write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");

    MUST(file != NULL);
    MUST(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    MUST(fclose(file) == 0);
}

static void make(const char *directory, enum fake_certificate number,
                 const struct identity signers[])
{
    const struct kind *kind = &kinds[number];
    AUTO_FREE char *path = fake_certificate_path(directory, number);
    AUTO_FREE char *key_path = fake_certificate_key_path(directory, number);
    struct identity identity = identity_new(kind->subject, kind->from_s, kind->until_s);

    add_extension(identity.certificate, NID_basic_constraints, "critical,CA:FALSE");
    if (kind->alternative_names != NULL)
        add_extension(identity.certificate, NID_subject_alt_name, kind->alternative_names);
    if (kind->usage != NULL)
        add_extension(identity.certificate, NID_ext_key_usage, kind->usage);
    sign(&identity, kind->signer == SIGNER_ITSELF ? &identity : &signers[kind->signer]);
    write_certificate(path, identity.certificate,
                      kind->signer == SIGNER_SERVER ? signers[SIGNER_SERVER].certificate : NULL);
    write_key(key_path, identity.key);
    identity_done(&identity);
}

void fake_certificates_make(const char *directory)
{
    AUTO_FREE char *path = xasprintf("%s/ca.pem", directory);
    struct identity signers[] = {
        [SIGNER_AUTHORITY] = authority_new("Authority of the tests"),
        [SIGNER_ITSELF] = { 0 },
        [SIGNER_STRANGER] = authority_new("Somebody else"),
        [SIGNER_SERVER] = identity_new("A server", -DAY_S, DAY_S),
    };

    add_extension(signers[SIGNER_SERVER].certificate, NID_basic_constraints, "critical,CA:FALSE");
    sign(&signers[SIGNER_SERVER], &signers[SIGNER_AUTHORITY]);
    write_certificate(path, signers[SIGNER_AUTHORITY].certificate, NULL);
    for (enum fake_certificate kind = 0; kind < CERTIFICATE_COUNT; kind++)
        make(directory, kind, signers);
    for (size_t i = 0; i < COUNT_OF(signers); i++)
        identity_done(&signers[i]);
}
