/* bootfallback: starts systemd-boot again when it comes back.
 *
 * Installed as \EFI\BOOT\BOOTX64.EFI, the path that firmware takes when it has no boot entry of its
 * own. systemd-boot uses up one try of an entry before it loads it. If the firmware then refuses the
 * image, systemd-boot does not go on to the next entry but returns, and a machine with only this path
 * stops in the firmware. Starting systemd-boot again until the bad entry has no tries left makes it
 * choose the other slot, within the same power-on.
 *
 * Written by: the image builder. Run by: the firmware. It reads no file itself (the firmware loads
 * and, with Secure Boot, verifies systemd-boot every time anew), takes no input but one key at the
 * very end, gives no arguments, and writes the console and one variable. After MAX_STARTS it stops: it
 * never resets the machine unasked, so there is no reboot storm.
 *
 * A kernel that panics before bennu-init has found the ESP restarts the machine, and nothing on the disk
 * counts that. So each power-on is counted in the variable BennuStarts before the first start, bennu-init
 * deletes it once its own count is on the disk, and the power-on after MAX_POWER_ONS stops here, with
 * room for one more: whoever switches the machine off and on again gets one start each time. The variable
 * is not authenticated: who writes it can stop the machine here or take the bound away, and no more.
 */
#include "efi.h"

/* A slot has 3 tries and there are two slots, so the 7th start is one without any tries left; one
 * more for a start that was lost to something else. */
#define MAX_STARTS 8
/* Power-ons in a row without bennu-init's count: 3 tries of two slots, one start without tries left, and
 * one more. It is as many as bennu-init makes without an ESP (BLIND_RESTARTS + 1), so that it stops by
 * itself first and says why. */
#define MAX_POWER_ONS 8
/* Seconds until the firmware resets the machine if systemd-boot hangs: what the specification asks
 * firmware to set before it starts a boot option (UEFI 2.10, 3.1.2). */
#define WATCHDOG_SECONDS (5 * 60)
/* Codes up to 0xffff are the firmware's (UEFI 2.10, 7.5). */
#define WATCHDOG_CODE 0x10000
/* Pause after each failure, so that the line can be read and a slow disk gets some time. */
#define PAUSE_MICROSECONDS 1000000
/* Room for the path of the ESP and of the loader on it. Real ones take under 200 bytes. */
#define DEVICE_PATH_LIMIT 4096

/* Shared with initrd-agent/src/past.rs. One byte. */
static const u16 count_name[] = L"BennuStarts";
static const struct efi_guid bennu_guid = {
	0xb5a7c1f2, 0x0d4e, 0x4f0c, {0x9d, 0x55, 0x6e, 0x62, 0x65, 0x6e, 0x6e, 0x75}};

static const u16 loader_path[] = L"\\EFI\\systemd\\systemd-bootx64.efi";

/* Revocation data as shim reads it: component, generation, vendor, package, version, URL. */
__attribute__((used, section(".sbat"))) static const char sbat[] =
	"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
	"bennu.bootfallback,1,Bennu,bennu,0.1.0,https://bennu.invalid/\n";

static struct efi_system_table *table;

static void say(const u16 *text)
{
	if (table->console_out)
		table->console_out->output_string(table->console_out, text);
}

static void say_number(u32 number)
{
	u16 text[11];
	u32 at = 10;

	text[at] = 0;
	do {
		text[--at] = (u16)('0' + number % 10);
		number /= 10;
	} while (number);
	say(text + at);
}

static void say_status(efi_status status)
{
	static const struct {
		efi_status status;
		const u16 *name;
	} names[] = {
		{EFI_SUCCESS, L"Success"},
		{EFI_LOAD_ERROR, L"Load Error"},
		{EFI_INVALID_PARAMETER, L"Invalid Parameter"},
		{EFI_UNSUPPORTED, L"Unsupported"},
		{EFI_BUFFER_TOO_SMALL, L"Buffer Too Small"},
		{EFI_DEVICE_ERROR, L"Device Error"},
		{EFI_OUT_OF_RESOURCES, L"Out of Resources"},
		{EFI_VOLUME_CORRUPTED, L"Volume Corrupt"},
		{EFI_NO_MEDIA, L"No Media"},
		{EFI_NOT_FOUND, L"Not Found"},
		{EFI_ACCESS_DENIED, L"Access Denied"},
		{EFI_TIMEOUT, L"Time out"},
		{EFI_ABORTED, L"Aborted"},
		{EFI_SECURITY_VIOLATION, L"Security Violation"},
	};
	static const u16 digits[] = L"0123456789abcdef";
	u16 text[17];

	for (u32 i = 0; i < 16; i++)
		text[i] = digits[(status >> (60 - 4 * i)) & 15];
	text[16] = 0;
	say(L"EFI status 0x");
	say(text);
	for (u32 i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].status == status) {
			say(L" (");
			say(names[i].name);
			say(L")");
		}
	}
}

/* Ends the one line that tells of a failed start. */
static void say_attempt(u32 attempt, efi_status status)
{
	say(L", start ");
	say_number(attempt);
	say(L" of ");
	say_number(MAX_STARTS);
	say(L", ");
	say_status(status);
	say(L"\r\n");
}

/* Puts the device path of the loader, which lies on the device that this program came from, into
 * `path`. */
static efi_status make_loader_path(efi_handle self, u8 path[DEVICE_PATH_LIMIT])
{
	static const struct efi_guid loaded_image_guid = EFI_LOADED_IMAGE_GUID;
	static const struct efi_guid device_path_guid = EFI_DEVICE_PATH_GUID;
	const u32 file_node = DEVICE_PATH_HEADER + sizeof(loader_path);
	const u8 *name = (const u8 *)loader_path;
	struct efi_loaded_image *image = 0;
	void *interface = 0;
	const u8 *device;
	efi_status status;
	u32 at = 0;

	status = table->boot->handle_protocol(self, &loaded_image_guid, &interface);
	if (EFI_IS_ERROR(status))
		return status;
	image = interface;
	if (!image->device)
		return EFI_NOT_FOUND;
	status = table->boot->handle_protocol(image->device, &device_path_guid, &interface);
	if (EFI_IS_ERROR(status))
		return status;
	device = interface;

	/* The device's nodes without the end node. */
	while (device[0] != DEVICE_PATH_END) {
		u32 length = device[2] | (u32)device[3] << 8;

		if (length < DEVICE_PATH_HEADER)
			return EFI_INVALID_PARAMETER;
		if (length > DEVICE_PATH_LIMIT - at)
			return EFI_BUFFER_TOO_SMALL;
		for (u32 i = 0; i < length; i++)
			path[at++] = *device++;
	}
	if (file_node + DEVICE_PATH_HEADER > DEVICE_PATH_LIMIT - at)
		return EFI_BUFFER_TOO_SMALL;

	path[at++] = DEVICE_PATH_MEDIA;
	path[at++] = DEVICE_PATH_MEDIA_FILE;
	path[at++] = (u8)file_node;
	path[at++] = (u8)(file_node >> 8);
	for (u32 i = 0; i < sizeof(loader_path); i++)
		path[at++] = name[i];

	path[at++] = DEVICE_PATH_END;
	path[at++] = DEVICE_PATH_END_ENTIRE;
	path[at++] = DEVICE_PATH_HEADER;
	path[at++] = 0;
	return EFI_SUCCESS;
}

/* Loads and starts the loader once. A loader that boots a system never returns. */
static void start_loader(efi_handle self, const u8 *path, u32 attempt)
{
	efi_handle image = 0;
	u16 *exit_data = 0;
	u64 exit_data_size = 0;
	efi_status status;

	/* A file path and no buffer: the firmware reads the file and applies its image verification. A
	 * fresh image has no load options. */
	status = table->boot->load_image(0, self, path, 0, 0, &image);
	if (EFI_IS_ERROR(status)) {
		/* With a security violation the image stays loaded, though it may not be started. */
		if (status == EFI_SECURITY_VIOLATION && image)
			table->boot->unload_image(image);
		say(L"B-LOADER-REFUSED: the firmware did not load systemd-boot");
		say_attempt(attempt, status);
		return;
	}

	table->boot->set_watchdog_timer(WATCHDOG_SECONDS, WATCHDOG_CODE, 0, 0);
	status = table->boot->start_image(image, &exit_data_size, &exit_data);
	if (exit_data)
		table->boot->free_pool(exit_data);
	say(L"B-LOADER-RETURNED: systemd-boot returned without booting");
	say_attempt(attempt, status);
}

static u8 same_guid(const struct efi_guid *one, const struct efi_guid *other)
{
	for (u32 i = 0; i < 8; i++)
		if (one->d[i] != other->d[i])
			return 0;
	return one->a == other->a && one->b == other->b && one->c == other->c;
}

/* Whether the running system can delete the count. Without the table everything is supported. */
static u8 can_be_deleted(void)
{
	static const struct efi_guid guid = EFI_RT_PROPERTIES_GUID;

	for (u64 i = 0; i < table->configuration_tables; i++) {
		const struct efi_configuration_table *entry = &table->configuration[i];

		if (same_guid(&entry->vendor, &guid)) {
			const struct efi_rt_properties *properties = entry->table;

			return (properties->supported & EFI_RT_SUPPORTED_SET_VARIABLE) != 0;
		}
	}
	return 1;
}

/* A variable that is absent, unreadable or of another length counts as none. */
static u8 read_count(void)
{
	u64 size = 1;
	u8 count = 0;
	efi_status status;

	status = table->runtime->get_variable(count_name, &bennu_guid, 0, &size, &count);
	return status == EFI_SUCCESS && size == 1 ? count : 0;
}

static efi_status write_count(u8 count)
{
	return table->runtime->set_variable(count_name, &bennu_guid, EFI_VARIABLE_PERSISTENT, 1, &count);
}

/* Counts this power-on. Whether it is one too many: it stops only if the one after it may start. What
 * cannot be counted is started: a variable store that is full must not keep a sound machine from booting. */
static u8 is_one_too_many(void)
{
	u8 before = read_count();
	efi_status status;

	if (!can_be_deleted())
		return 0;
	if (before >= MAX_POWER_ONS)
		return write_count(MAX_POWER_ONS - 1) == EFI_SUCCESS;
	status = write_count((u8)(before + 1));
	if (EFI_IS_ERROR(status)) {
		say(L"The count of starts was not written, ");
		say_status(status);
		say(L"\r\n");
	}
	return 0;
}

/* Keys that were pressed before the question must not answer it. Bounded, should they never end. */
static void forget_keys(struct efi_text_input *in)
{
	struct efi_key key;

	for (u32 i = 0; i < 1000; i++)
		if (in->read_key(in, &key) != EFI_SUCCESS)
			return;
}

/* Stops until somebody presses a key; then resets. */
static void stop(void)
{
	struct efi_text_input *in = table->console_in;
	struct efi_key key;
	u64 index;

	table->boot->set_watchdog_timer(0, 0, 0, 0);
	if (in) {
		forget_keys(in);
		say(L"Stopped. Press any key to reset this machine.\r\n");
		while (in->read_key(in, &key) != EFI_SUCCESS)
			if (table->boot->wait_for_event(1, &in->wait_for_key, &index) != EFI_SUCCESS)
				table->boot->stall(PAUSE_MICROSECONDS);
		table->runtime->reset_system(EFI_RESET_COLD, EFI_SUCCESS, 0, 0);
	}
	say(L"Stopped. Switch this machine off and on again.\r\n");
	for (;;)
		table->boot->stall(PAUSE_MICROSECONDS);
}

efi_status efi_main(efi_handle self, struct efi_system_table *system_table)
{
	static u8 path[DEVICE_PATH_LIMIT];
	efi_status status;

	table = system_table;
	status = make_loader_path(self, path);
	if (EFI_IS_ERROR(status)) {
		say(L"B-NO-BOOT-DEVICE: the firmware does not say which device this program came from, ");
		say_status(status);
		say(L"\r\n");
		stop();
	}
	if (is_one_too_many()) {
		say(L"B-NO-BOOTABLE-SLOT: no bootable slot: ");
		say_number(MAX_POWER_ONS);
		say(L" starts in a row ended before bennu-init had found the disk; repair or reinstall the disk,\r\n"
		    L"or switch this machine off and on for one more start.\r\n");
		stop();
	}
	for (u32 attempt = 1; attempt <= MAX_STARTS; attempt++) {
		start_loader(self, path, attempt);
		table->boot->stall(PAUSE_MICROSECONDS);
	}
	say(L"B-NO-BOOTABLE-SLOT: no bootable slot: systemd-boot was started ");
	say_number(MAX_STARTS);
	say(L" times and none of its entries booted; repair or reinstall the disk.\r\n");
	stop();
	return EFI_ABORTED;
}
