/* Rows that most dialogues are made of. */
#pragma once
#include "fake_smarthost.h"

#define GREETING                                                                                   \
    {                                                                                              \
        NULL, "220 fake ESMTP\r\n", FAKE_GO_ON                                                     \
    }
#define HELLO(lines)                                                                               \
    {                                                                                              \
        "EHLO app1.example.com", "250-fake\r\n" lines, FAKE_GO_ON                                  \
    }
#define PLAIN_HELLO     HELLO("250-SIZE 1000000\r\n250 8BITMIME\r\n")
#define PIPELINED_HELLO HELLO("250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n")
#define SAY(command, reply)                                                                        \
    {                                                                                              \
        command, reply "\r\n", FAKE_GO_ON                                                          \
    }
#define MAIL_OK    SAY("MAIL FROM:<s@x>", "250 2.1.0 sender ok")
#define RCPT_A_OK  SAY("RCPT TO:<a@x>", "250 2.1.5 a ok")
#define RCPT_B_BAD SAY("RCPT TO:<b@x>", "550 5.1.1 b no such user")
#define RCPT_C_OK  SAY("RCPT TO:<c@x>", "250 2.1.5 c ok")
#define DATA_OK    SAY("DATA", "354 go on")
#define DOT_OK     SAY(".", "250 2.0.0 queued as 4711")
#define QUIT       SAY("QUIT", "221 2.0.0 bye")
#define RSET       SAY("RSET", "250 2.0.0 reset")

/* user and S3cr3t-canary, the trials' login */
#define AUTH_PLAIN_OK SAY("AUTH PLAIN AHVzZXIAUzNjcjN0LWNhbmFyeQ==", "235 2.7.0 welcome")
#define AUTH_LOGIN_OK                                                                              \
    SAY("AUTH LOGIN", "334 VXNlcm5hbWU6"), SAY("dXNlcg==", "334 UGFzc3dvcmQ6"),                    \
        SAY("UzNjcjN0LWNhbmFyeQ==", "235 2.7.0 welcome")
#define LOGIN_SETTINGS "username = \"user\"; password-env = \"TRIAL_PASSWORD\"; "
#define START_TLS                                                                                  \
    {                                                                                              \
        "STARTTLS", "220 2.0.0 go\r\n", FAKE_TLS                                                   \
    }
