/*
 * The name of a client's address, for logs and Received (RFC 5321 4.4): what its PTR record says, confirmed
 * by the addresses of that name. Asks dnsd; on a fiber.
 */
#pragma once
#include "dns/ask.h"

#define DNS_CLIENT_NAME 256u /* with its NUL */
#define DNS_CLIENT_PTRS 4u   /* names of an address that are tried */

enum dns_client {
    DNS_CLIENT_UNKNOWN, /* no name, or none that is known in time */
    DNS_CLIENT_FORGED,  /* a name that does not have the address */
    DNS_CLIENT_CONFIRMED,
};

/* name: of a host, in lower case; "" when it is UNKNOWN. */
enum dns_client dns_client_name(const uint8_t address[16], uint64_t deadline, char name[DNS_CLIENT_NAME]);
