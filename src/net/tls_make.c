/* A small authority, and a certificate by it for the names of this machine.
 *
 * The authority's key never reaches the disk: whoever trusts its certificate trusts the one certificate made with it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "net/tls.h"

enum { DAYS = 397, DAYS_LEFT = 30, DAY = 86400 };

static so_status name_alt(const char *const *names, char **out, so_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file) return so_fail(error, SO_ERR_NOMEM, "no memory for names");
    for (int i = 0; names[i]; i++) {
        unsigned char address[16];
        bool number = inet_pton(AF_INET, names[i], address) == 1 || inet_pton(AF_INET6, names[i], address) == 1;
        bool plain =
            names[i][strspn(names[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._*")] == 0;
        if (number || (plain && names[i][0]))
            fprintf(file, "%s%s:%s", size || i ? "," : "", number ? "IP" : "DNS", names[i]);
        fflush(file);
    }
    fclose(file);
    *out = text;
    return SO_OK;
}

static bool extend(X509 *x, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    bool good = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static X509 *blank(EVP_PKEY *key, const char *name)
{
    unsigned char serial[16];
    X509 *x = X509_new();
    BIGNUM *number = BN_new();
    if (!x || !number || BN_rand(number, 8 * (int)sizeof serial - 1, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1) {
        X509_free(x);
        BN_free(number);
        return NULL;
    }
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
    BN_free(number);
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -DAY);
    X509_gmtime_adj(X509_getm_notAfter(x), (long)DAYS * DAY);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    return x;
}

/* Writes PEM through a writer, so that a file is whole or absent. `mode` 0600 for keys. */
static so_status put_pem(const char *path, X509 *first, X509 *second, EVP_PKEY *key, so_error *error)
{
    BIO *memory = BIO_new(BIO_s_mem());
    bool good = memory != NULL;
    if (first) good = good && PEM_write_bio_X509(memory, first) == 1;
    if (second) good = good && PEM_write_bio_X509(memory, second) == 1;
    if (key) good = good && PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1;
    char *data = NULL;
    long size = good ? BIO_get_mem_data(memory, &data) : 0;
    so_status status = good ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a certificate");
    mode_t before = umask(key ? 077 : 022);
    if (status == SO_OK) status = so_file_write(path, data, (size_t)size, error);
    umask(before);
    BIO_free(memory);
    return status;
}

static so_status make(so_tls_files *files, const char *alt, so_error *error)
{
    EVP_PKEY *root = EVP_EC_gen("P-256"), *leaf = EVP_EC_gen("P-256");
    X509 *authority = root ? blank(root, "stream-omni, authority of this machine") : NULL;
    X509 *own = leaf ? blank(leaf, "stream-omni") : NULL;
    so_status status = SO_OK;
    bool good = authority && own;
    if (good) {
        X509_set_issuer_name(authority, X509_get_subject_name(authority));
        X509_set_issuer_name(own, X509_get_subject_name(authority));
        good = extend(authority, authority, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               extend(authority, authority, NID_key_usage, "critical,keyCertSign,cRLSign") &&
               extend(authority, authority, NID_subject_key_identifier, "hash") &&
               extend(own, authority, NID_basic_constraints, "critical,CA:FALSE") &&
               extend(own, authority, NID_key_usage, "critical,digitalSignature") &&
               extend(own, authority, NID_ext_key_usage, "serverAuth") &&
               extend(own, authority, NID_subject_alt_name, alt) &&
               extend(own, authority, NID_authority_key_identifier, "keyid:always") &&
               X509_sign(authority, root, EVP_sha256()) > 0 && X509_sign(own, root, EVP_sha256()) > 0;
    }
    if (!good) status = so_fail(error, SO_ERR_ARG, "no certificate can be made for the names %s", alt);
    if (status == SO_OK) status = put_pem(files->authority, authority, NULL, NULL, error);
    if (status == SO_OK) status = put_pem(files->key, NULL, NULL, leaf, error);
    if (status == SO_OK) status = put_pem(files->chain, own, authority, NULL, error);
    X509_free(authority);
    X509_free(own);
    EVP_PKEY_free(root);
    EVP_PKEY_free(leaf);
    return status;
}

/* Whether what lies there is good for a month more and for all names. */
static bool still_good(const so_tls_files *files, const char *const *names)
{
    struct stat about;
    if (stat(files->key, &about) != 0 || (about.st_mode & 077) || access(files->authority, R_OK) != 0) return false;
    FILE *file = fopen(files->chain, "r");
    X509 *x = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file) fclose(file);
    time_t later = time(NULL) + (time_t)DAYS_LEFT * DAY;
    bool good = x && X509_cmp_time(X509_get0_notAfter(x), &later) > 0;
    for (int i = 0; good && names[i]; i++)
        good = X509_check_ip_asc(x, names[i], 0) == 1 || X509_check_host(x, names[i], 0, 0, NULL) == 1;
    X509_free(x);
    return good;
}

so_status so_tls_make(const char *folder, const char *const *names, so_tls_files *files, so_error *error)
{
    char *alt = NULL;
    int n = snprintf(files->authority, sizeof files->authority, "%s/authority.pem", folder);
    if (n < 0 || (size_t)n >= sizeof files->authority) return so_fail(error, SO_ERR_LIMIT, "a folder name too long");
    snprintf(files->chain, sizeof files->chain, "%.4000s/chain.pem", folder);
    snprintf(files->key, sizeof files->key, "%.4000s/key.pem", folder);
    if (still_good(files, names)) return SO_OK;
    mode_t before = umask(077);
    so_status status = so_make_folder(folder, error);
    umask(before);
    if (status == SO_OK) status = name_alt(names, &alt, error);
    if (status == SO_OK) status = make(files, alt ? alt : "", error);
    free(alt);
    return status;
}
