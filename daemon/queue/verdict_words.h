/* The vocabulary of verdict_rules.c: how servers say one thing in many ways. Written as reply_words.h shows words:
   lower case, without punctuation and apostrophes; a space stands where a word begins or ends. */
#pragma once

/* clang-format off */

/* A refusal that calls itself passing is not believed to be for good, whatever its first digit says. */
#define WORDS_LATER \
    " try again later | try later | try again in | temporarily | temporary | retry later |" \
    " later time | come back later | please retry | try again after "

#define WORDS_GREYLIST " greylist| graylist| grey list| gray list"

#define WORDS_SPEED \
    " rate limit| ratelimit| rate exceeded | exceeded*rate | throttl| slow down | too frequent|" \
    " message rate | mail rate | please wait to send | too many requests | flood " "|" WORDS_TOO_MANY

#define WORDS_TOO_MANY \
    " too fast | too quickly | too many messages | too many emails | too many mails | too much mail |" \
    " too many email "

#define WORDS_CONNECTIONS \
    " too many*connection| concurrent*connection| simultaneous*connection| connection limit |" \
    " connections exceeded | connection rate | connection frequency | too many*sessions |" \
    " connection count | too many concurrent | number of connections | connections from "

#define WORDS_PER_HOUR \
    " per hour*exceed| exceeded*per hour | hourly*limit | limit*hourly | hourly*quota | max*per hour |" \
    " too many*hour | limit*per hour | hourly*exceed| limit*hour | exceeded*hour "

#define WORDS_PER_DAY \
    " daily*limit| daily*quota | daily*exceed| exceed*daily | limit*daily | limit*per day |" \
    " exceed*per day | quota*day | 24 hour*limit | limit*24 hour| exceed*24 hour| too many*today |" \
    " limit*today | too many*day | limit for the day "

#define WORDS_OWN_QUOTA \
    " submission quota | submissionquotaexceeded| senders*quota | sender*quota | sending quota |" \
    " sending limit| sending*limit | outbound*quota | email quota | message quota | messages quota |" \
    " mail quota | sent too many| send limit| relay limit| messaging limit| relay quota |" \
    " email limit| message limit| messages limit | limit of messages | sender*exceeded |" \
    " recipient limit*exceeded | your quota | your account*quota | your account*limit "

/* Money rather than time solves these. */
#define WORDS_PAYMENT \
    " monthly | per month | this month | credit| plan limit | plan quota | billing | payment | unpaid |" \
    " subscription | upgrade your | trial account | insufficient funds | balance "

#define WORDS_MAILBOX_FULL \
    " mailbox full | mailbox is full | mailbox*full | mailbox*over quota | mailbox*quota | inbox full |" \
    " inbox is full | over quota | overquota | out of storage | disk quota | user is full |" \
    " mailbox size | mailbox*exceed| exceeded storage | storage allocation | storage limit |" \
    " quota*mailbox | user*quota | recipient*quota | no space left for | full mailbox "

#define WORDS_UNKNOWN_USER \
    " no such | user unknown | unknown user | unknown recipient | recipient unknown |" \
    " unknown mailbox | unknown address | unknown local part | mailbox unknown | address unknown |" \
    " does not exist | doesnt exist | not exist | user not found | mailbox not found |" \
    " recipient not found | address not found | account not found | not a valid mailbox |" \
    " invalid mailbox | invalid recipient | invalid user | invalid address | no mailbox |" \
    " isnt a valid | not a valid user | not a valid recipient | couldnt be found | wasnt found |" \
    " not found by smtp address lookup | undeliverable address | doesnt have a*account |" \
    " no longer valid | no longer in use | no longer available | no longer accept|" \
    " account*disabled | account*inactive | account*discontinued | mailbox*disabled |" \
    " mailbox*inactive | mailbox unavailable | mailbox not available | recipient*disabled |" \
    " user*disabled | user*inactive | addressee unknown | not our customer | user doesnt | bad destination |" \
    " unable to find*user | not known here | not listed in "

#define WORDS_RECIPIENT_REFUSED \
    " recipient address rejected | recipient rejected | recipient*not accept| recipient*refused |" \
    " recipient*denied | recipient verify failed | recipient verification failed | verify failed |" \
    " user not local | not a local | destination domain | domain*not exist | host unknown |" \
    " host not found | domain not found | unknown domain | unknown host | unrouteable | unroutable |" \
    " no mx | null mx | does not accept mail | doesnt accept mail | find the recipient domain |" \
    " recipient*suppress| suppression list | recipient*blocked | domain has no mail |" \
    " mail server for the recipient "

#define WORDS_REPUTATION \
    " blacklist| block list | blocklist| denylist| blocked using | dnsbl | rbl | spamhaus | spamcop |" \
    " barracuda | sorbs | listed at | listed on | listed by | is listed | reputation | complaints |" \
    " banned sending ip | your ip | the ip | ip address*block| ip*blocked | sending ip |" \
    " unusual rate of | from your network | from this ip | mail server*blocked | ip has been |" \
    " poor score | senderscore | sender score | access denied*ip | ip*not allowed | ip*not authori|" \
    " ip*unauthori| unauthorized ip "

#define WORDS_TLS_NEEDED \
    " must issue a starttls | starttls first | starttls command first | starttls required |" \
    " starttls is required | tls required | tls is required | requires tls | require tls |" \
    " requires starttls | must use tls | use tls | use starttls | encryption required |" \
    " encryption is required | encryption needed | requires encryption | requires ssl |" \
    " ssl required | secure connection required | secure connection is required |" \
    " requires a secure connection | requires an encrypted | encrypted connection |" \
    " tls*before auth| must be encrypted | insecure connection | plaintext authentication disallowed |" \
    " without tls | start tls first | issue a starttls "

#define WORDS_LOGIN_NEEDED \
    " authentication required | authentication is required | authentication is needed |" \
    " authentication needed | not authenticated | unauthenticated | must authenticate |" \
    " must be authenticated | authenticate first | please authenticate | need to authenticate |" \
    " requires authentication | requires smtp auth| auth first | auth required | smtp auth |" \
    " need ehlo and auth | must login | login first | log in first | login required | must log in |" \
    " please login | please log in | not logged in | anonymous mail | need auth | pop before smtp |" \
    " authorization required | authorisation required | authentication credentials |" \
    " authenticate before | authenticate to send "

#define WORDS_BAD_PASSWORD \
    " authentication failed | could not authenticate | couldnt authenticate | invalid credential|" \
    " bad credential| incorrect | invalid password | invalid user| bad username | wrong password |" \
    " invalid login | login invalid | login failed | authentication unsuccessful |" \
    " authentication credentials invalid | username and password not accepted "

#define WORDS_SENDER_RIGHTS \
    " send as | sendasdenied| send on behalf | send from | not owned by | not verified |" \
    " unverified | isnt verified | verify*domain | verified sender | sender identity |" \
    " verify your sender | verify the sender | unconfigured sending domain | disallowed as |" \
    " sender*not allowed | sender*not permitted | sender*not authori| sender*unauthori|" \
    " sender*mismatch | from address | from header | header from | header address | from field |" \
    " from domain | envelope from*not | envelope sender*not | mail from*must | mail from*not |" \
    " must be same as auth| must equal auth| must match*auth| does not match*auth|" \
    " doesnt match*auth| sender does not match | sender address must | sender*not match |" \
    " not authorized to use | not allowed to use | not permitted to use | sender domain*not |" \
    " not a verified | authorized sender | authorised sender | approved sender |" \
    " sender address rejected | sender rejected | sender*denied | sender not accepted |" \
    " authorized to send | authorised to send | permission to send | permissions to send |" \
    " sender signature | sender verify fail| sending domain | sender is not valid | invalid sender "

#define WORDS_ACCOUNT_STOPPED \
    " account*suspend| account*disabled | account*blocked | account*locked | account*inactiv|" \
    " account*deactivated | account*terminated | account*closed | account*probation |" \
    " account*paused | paused*account | account*banned | account*under review |" \
    " account*restricted | account*compromised | account*hold | not allowed to send |" \
    " domain*suspended | domain*disabled | user*suspended | user is blocked " "|" WORDS_SENDING_STOPPED

/* The same said of sending, which at RCPT can't be the account of the recipient. */
#define WORDS_SENDING_STOPPED \
    " not allowed to send | your account | sending*suspended | sending*disabled | sending*paused |" \
    " sending denied | outgoing*blocked | outgoing*disabled | outbound*blocked | bad outbound sender |" \
    " banned sender | spam abuse | blocked from sending | verdict*suspend | verdict*hip|" \
    " restricted from sending | outbound*restricted | outgoing*suspended | unusual sending activity |" \
    " unusual activity | not permitted to send mail | sending is blocked "

#define WORDS_RELAY \
    " relay access denied | relaying denied | relay denied | relay not permitted | relaying not |" \
    " not permitted to relay | unable to relay | relay not allowed | not allowed to relay |" \
    " relaying prohibited | we do not relay | dont relay | relaying is | cannot relay |" \
    " cant relay | relay*forbidden | no relay | relaying*disallowed | relay not authorized |" \
    " relay*prohibited | rcpthosts "

#define WORDS_SPAM \
    " spam | spammy | unsolicited | junk mail | phish| content reject| content filter|" \
    " message content | mail content | content denied | policy reason| policy restriction|" \
    " policy violation | content policy | local policy | virus | malware | infected | trojan |" \
    " attachment*not | illegal attachment | attachment*block| attachment*reject| banned file | executable |" \
    " forbidden content | objectionable | spam score | suspicious | its content | security issue |" \
    " policy that prohibited | administrative prohibition | administratively "

#define WORDS_TOO_LARGE \
    " message*too large | message*too big | message*too long | message size | size limit |" \
    " maximum*size | exceed*size | too large | too big | message length | size*exceed| max*message size "

#define WORDS_MALFORMED \
    " duplicate header | malformed | missing*header | missing*field | missing date | missing from |" \
    " missing message id | invalid header | bad header | illegal header | header*missing |" \
    " header*invalid | header*too | header syntax | mime | bare lf | bare cr| bare line | bare newline |" \
    " line too long | lines too long | line length | rfc 5322 | rfc 2822 | rfc 822 | rfc5322 |" \
    " rfc2822 | rfc822 | invalid character | non ascii | null byte | 8bit | not compliant |" \
    " invalid message | invalid date | multiple from | header fields "

/* clang-format on */
