#!/usr/bin/env bash
# Writes bodies/*.bin and signatures.json again. Run it from anywhere; it takes a few seconds.
#
# The receiver checks HMAC-SHA256 over exact bytes. Here four programs that share no code with it sign the same bytes
# with the same keys, and this script refuses to write the answers unless all four agree.
# Everything in here is invented: the keys have never signed a real event, the people do not exist.
set -euo pipefail
cd "$(dirname "$0")"
# One byte is one byte for awk and printf, and mono still decodes its arguments as UTF-8.
export LC_ALL=C.UTF-8

need() {
    command -v "$1" >/dev/null || { echo "make.sh: $1 is missing; install $2 (Debian, Ubuntu: apt-get install $2)" >&2; exit 1; }
}
need openssl openssl
need php php-cli
need node nodejs
need mcs mono-mcs
need mono mono-runtime
need gzip gzip
need awk mawk
need od coreutils

# ---------------------------------------------------------------------------------------------------------- bodies

mkdir -p bodies
rm -f bodies/*.bin

# A heredoc ends with a newline, which these bodies must not have: $(...) takes it off.
body() { printf '%s' "$(cat)" >"bodies/$1.bin"; }

body plain <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T09:15:27.4410983","eventType":"TaskCreation","eventName":"Task: creation","data":{"id":901,"label":"Review the register","workspaceId":7,"state":"Active"}}
JSON

body accents-utf8 <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T09:16:03.7","eventType":"ProcessingModification","eventName":"Modification d’un traitement de données","data":{"id":"7d0f8a52-3c1b-4b7e-8f0e-2a64c9d1e5b3","label":"Gestion des élèves à l’école — rentrée nº 2","workSpaceId":7}}
JSON

# System.Text.Json escapes everything beyond ASCII, and the apostrophe and the angle brackets as well.
body accents-escaped <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T09:16:03.7","eventType":"ProcessingModification","eventName":"Modification d\u0027un traitement de donn\u00E9es","data":{"id":"7d0f8a52-3c1b-4b7e-8f0e-2a64c9d1e5b3","label":"Gestion des \u00E9l\u00E8ves \u00E0 l\u0027\u00E9cole \u2014 rentr\u00E9e n\u00BA 2","workSpaceId":7}}
JSON

body emoji <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T09:18:40.12Z","eventType":"CommentNew","eventName":"New comment","data":{"id":55,"objectId":"901","objectType":"Task","message":"Parfait 👍🏽, merci 🇫🇷 à l’équipe 👩‍👩‍👧","workSpaceId":7}}
JSON

# Carriage return and line feed, as a pretty-printing serialiser on Windows writes them; no line end at the end.
awk 'NR > 1 { printf "\r\n" } { printf "%s", $0 }' >bodies/pretty-crlf.bin <<'JSON'
{
  "webhookId": 4242,
  "signatureUrl": "https://webhooks.example.org/dastra",
  "userId": 17,
  "date": "2026-03-02T09:20:11.0000001",
  "eventType": "TaskEdit",
  "eventName": "Tâche : modification",
  "data": {
    "id": 901,
    "label": "Relire le registre",
    "workspaceId": 7
  }
}
JSON

{ cat bodies/plain.bin; printf '\n'; } >bodies/trailing-newline.bin
{ printf '\357\273\277'; cat bodies/accents-utf8.bin; } >bodies/bom.bin
: >bodies/empty.bin

body realistic-2k <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T09:31:30.6882299","eventType":"DataSubjectCreation","eventName":"Demande d\u0027exercice de droits : cr\u00E9ation","data":{"closedByUser":null,"area":{"id":31,"type":"Entity","label":"Soci\u00E9t\u00E9 Exemple","order":0,"children":[],"teams":[]},"creator":{"id":17,"displayName":"Dominique Test","familyName":"Test","givenName":"Dominique","email":"dominique.test@example.org","color":"#3366cc","avatarUrl":null,"tenantId":3},"operator":{"id":18,"displayName":"Claude Fictif","familyName":"Fictif","givenName":"Claude","email":"claude.fictif@example.org","color":"#cc6633","avatarUrl":null,"tenantId":3},"operatorId":18,"attachments":[],"tags":[{"id":5,"label":"\u00C0 traiter en priorit\u00E9","type":"DataSubject","color":"#ff0000"}],"id":1203,"title":"Effacement du compte client","locale":"fr","archived":false,"archivedDate":null,"personCategory":"Client","complex":false,"dateClosed":null,"areaId":31,"state":"Open","description":null,"message":"\u003Cp\u003EBonjour, je souhaite l\u0027effacement de toutes mes donn\u00E9es personnelles, y compris celles de mon ancien compte. Merci de me confirmer la r\u00E9ception.\u003C/p\u003E","resolutionMessage":null,"email":"camille.exemple@example.org","phoneNumber":"+33 1 99 00 00 00","givenName":"Camille","familyName":"Exemple","dateCreation":"2026-03-02T09:31:30.6882299","dateUpdate":null,"workFlowStepId":12,"channel":"Internal","refId":"CLIENT-000042","userId":null,"purposes":["Erasure","Access"],"closedReason":"None","expiryTime":"2026-04-02T09:31:30.68823","address":"1 rue de l\u0027Exemple","zipCode":"00000","city":"Exempleville","countryCode":"FR","nbMessages":0,"nbMessagesNotViewed":0,"remainingDays":31,"closingTime":null,"additionalDatas":{"num\u00E9ro de client":"000042"},"userNotified":false,"dateUserNotified":null,"sendNotification":true,"mailValidated":true,"referrerUrl":null,"demandId":"DSR-2026-0001","identityValidated":false,"dateIdentityValidated":null,"widgetId":null}}
JSON

# Areas within areas, 48 deep, each with a kilobyte of HTML. 64 KB stands for the bodies that outgrow a queue's limit.
awk 'BEGIN {
    printf "{\"webhookId\":4242,\"signatureUrl\":\"https://webhooks.example.org/dastra\",\"userId\":17,"
    printf "\"date\":\"2026-03-02T10:02:59.9999999\",\"eventType\":\"ProcessingCreation\",\"eventName\":\"Traitement : création\",\"data\":"
    paragraph = "<p class=\\\"note\\\">Les données sont <strong>conservées</strong> le temps nécessaire, puis effacées&nbsp;: voir <a href=\\\"https://example.org/durées?a=1&amp;b=2\\\">la politique</a>.</p>\\r\\n"
    for (depth = 1; depth <= 48; depth++) {
        printf "{\"id\":%d,\"label\":\"Périmètre nº %d\",\"descriptionHtml\":\"<div>", depth, depth
        for (i = 0; i < 7; i++) printf "%s", paragraph
        printf "</div>\",\"children\":["
    }
    for (depth = 1; depth <= 48; depth++) printf "]}"
    printf "}"
}' >bodies/nested-html-64k.bin

body nul-escape <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T10:05:00","eventType":"TaskEdit","eventName":"Task: edit","data":{"id":901,"label":"before\u0000after","workspaceId":7}}
JSON

body lone-surrogate <<'JSON'
{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T10:06:00","eventType":"CommentNew","eventName":"New comment","data":{"id":56,"objectId":"901","objectType":"Task","message":"cut in half: \uD83D","workSpaceId":7}}
JSON

# Latin-1 bytes, a lone continuation byte, a byte that UTF-8 never uses: no JSON text, but signed all the same.
printf '{"webhookId":4242,"eventType":"TaskEdit","data":{"label":"d\351j\340 \200 \377"}}' >bodies/invalid-utf8.bin

# -n: no name and no time in the header, so that the bytes are the same each time.
gzip -9 -n -c bodies/plain.bin >bodies/gzip.bin

body array <<'JSON'
[{"webhookId":4242,"signatureUrl":"https://webhooks.example.org/dastra","userId":17,"date":"2026-03-02T10:08:00Z","eventType":"TaskCreation","eventName":"Task: creation","data":null}]
JSON

# ------------------------------------------------------------------------------------------------------ signatures

# A key is the text that Dastra's screen shows, so the same GUID in capitals is another key.
keys=(
    "0b5fae1c-7d2e-4c4b-9a68-3f1de2c47a90"
    "0B5FAE1C-7D2E-4C4B-9A68-3F1DE2C47A90"
    "clé-de-démonstration-ß-€"
)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mcs -out:"$scratch/sign.exe" sign.cs

# KEY FILE...
by_openssl() {
    local key=$1 file
    shift
    for file in "$@"; do
        openssl dgst -sha256 -hmac "$key" -binary "$file" | openssl base64 -A
        echo
    done
}
# The same with the key as bytes in hex: what to use for a key that an option cannot carry as text.
by_openssl_hexkey() {
    local hex file
    hex=$(printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n')
    shift
    for file in "$@"; do
        openssl dgst -sha256 -mac HMAC -macopt "hexkey:$hex" -binary "$file" | openssl base64 -A
        echo
    done
}
by_php() { php sign.php "$@"; }
by_node() { node sign.mjs "$@"; }
by_csharp() { mono "$scratch/sign.exe" "$@"; }

files=(bodies/*.bin)
entries=()
for key in "${keys[@]}"; do
    for program in openssl openssl_hexkey php node csharp; do
        "by_$program" "$key" "${files[@]}" >"$scratch/$program"
        if ! diff "$scratch/openssl" "$scratch/$program" >"$scratch/difference"; then
            echo "make.sh: openssl (<) and $program (>) do not agree for the key '$key':" >&2
            cat "$scratch/difference" >&2
            exit 1
        fi
    done
    for program in openssl php node csharp; do
        mapfile -t signatures <"$scratch/$program"
        if [ "${#signatures[@]}" -ne "${#files[@]}" ]; then
            echo "make.sh: $program made ${#signatures[@]} signatures for ${#files[@]} bodies" >&2
            exit 1
        fi
        for i in "${!files[@]}"; do
            entries+=("$(printf '  {"body": "%s", "key": "%s", "signature": "%s", "made_by": "%s"}' \
                "${files[i]}" "$key" "${signatures[i]}" "$program")")
        done
    done
done

{
    echo "["
    (IFS=$'\n'; printf '%s' "${entries[*]}") | sed '$!s/$/,/'
    printf '\n]\n'
} >"$scratch/signatures.json"
mv "$scratch/signatures.json" signatures.json

echo "${#files[@]} bodies x ${#keys[@]} keys x 4 programs = ${#entries[@]} signatures"
